//! Whole runs against a stand-in server on loopback, in one process: it relays calls, loses what it is told to lose,
//! and challenges registrations.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::scan::{Message, Name, Start};
use super::*;

#[derive(Clone, Copy, Default)]
struct Habits {
    /// Requests of this method are lost the first time.
    loses: Option<&'static str>,
    challenges: bool,
    refuses: Option<&'static str>,
    /// So many REGISTERs are told to come again at once.
    busy: u32,
    /// Refuses the audio in every SDP, without changing its length.
    spoils_sdp: bool,
}

struct StandIn {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    longest: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    fn start(habits: Habits) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let longest = Arc::new(AtomicUsize::new(0));
        let (ended, body) = (over.clone(), longest.clone());
        let thread = std::thread::spawn(move || serve(&socket, habits, &ended, &body));
        Self { address, over, longest, thread: Some(thread) }
    }

    fn longest_body(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(socket: &UdpSocket, mut habits: Habits, over: &AtomicBool, longest: &AtomicUsize) {
    let (mut caller, mut callee) = (None, None);
    let mut lost: Vec<Vec<u8>> = Vec::new();
    let mut buffer = [0; 65_535];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        let bytes = &buffer[..length];
        let message = Message::read(bytes).expect("we write what can be read");
        if habits.loses.is_some_and(|method| bytes.starts_with(method.as_bytes()))
            && !lost.iter().any(|id| id == message.call_id)
        {
            lost.push(message.call_id.to_vec());
            continue;
        }
        let text = std::str::from_utf8(bytes).unwrap();
        let (first, rest) = text.split_once("\r\n").unwrap();
        longest.fetch_max(text.split_once("\r\n\r\n").unwrap().1.len(), Ordering::Relaxed);
        let (out, target) = match message.start {
            Start::Response(_) => {
                (format!("{first}\r\n{}", rest.split_once("\r\n").unwrap().1), caller)
            }
            Start::Request(method) if habits.refuses.is_some_and(|m| m.as_bytes() == method) => {
                (answer("486 Busy Here", &message), Some(source))
            }
            Start::Request(b"OPTIONS") => (answer("200 OK", &message), Some(source)),
            Start::Request(b"REGISTER") if habits.busy > 0 => {
                habits.busy -= 1;
                (answer("503 Service Unavailable", &message), Some(source))
            }
            Start::Request(b"REGISTER") => {
                callee = Some(source);
                let open =
                    !habits.challenges || text.contains("\r\nAuthorization: Digest username=\"");
                let status = if open { "200 OK" } else { "401 Unauthorized" };
                (answer(status, &message), Some(source))
            }
            Start::Request(_) => {
                caller = Some(source);
                let here = socket.local_addr().unwrap();
                let hop = format!(
                    "Via: SIP/2.0/UDP {here};branch=z9hG4bKx\r\nRecord-Route: <sip:{here};lr>"
                );
                (format!("{first}\r\n{hop}\r\n{rest}"), callee)
            }
        };
        let out = if habits.spoils_sdp { out.replace("RTP/AVP 0", "RTP/AVP 8") } else { out };
        socket.send_to(out.as_bytes(), target.unwrap_or(source)).unwrap();
    }
}

fn answer(status: &str, request: &Message<'_>) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        if matches!(line.name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq) {
            out.push_str(std::str::from_utf8(line.whole).unwrap());
        }
    }
    if status.starts_with("401") {
        out.push_str(
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n",
        );
    }
    if status.starts_with("503") {
        out.push_str("Retry-After: 0 (at once)\r\n");
    }
    out + "Content-Length: 0\r\n\r\n"
}

fn plan(server: &StandIn, scenario: Scenario) -> Plan {
    Plan {
        target: server.address,
        domain: "example.com".to_owned(),
        scenario,
        pace: Pace::Window(4),
        duration: Duration::from_millis(60),
        warm_up: Duration::ZERO,
        users: Users::numbered("u", 10),
        secret: None,
        ring: Duration::ZERO,
        hold: Duration::ZERO,
        expires: 60,
        bind: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        active_max: 100,
        keep_registered: false,
        sound: false,
        sizes: (20, 300),
        server_pids: vec![std::process::id()],
        limits: Vec::new(),
    }
}

fn go(plan: &Plan) -> Report {
    run(plan, &Control::default(), |_| {}).expect("runs")
}

/// Goes on until so many measured units have ended, however long a busy machine takes for them.
fn go_until(units: u64, plan: &Plan) -> Report {
    let control = Control::default();
    let long = Plan { duration: Duration::from_secs(3_600), ..plan.clone() };
    run(&long, &control, |progress| {
        if progress.phase == Phase::Measuring && progress.tally.whole.finished() >= units {
            control.finish();
        }
    })
    .expect("runs")
}

#[test]
fn every_scenario_succeeds_and_adds_up() {
    let server = StandIn::start(Habits::default());
    for scenario in [Scenario::Options, Scenario::Register, Scenario::Call, Scenario::Message] {
        let report = go_until(11, &plan(&server, scenario));
        let (t, tally) = (&report.tally.whole, &report.tally);
        assert!(t.ok > 10, "{}", report.to_text());
        assert_eq!((t.failed, t.retransmissions, t.unexpected, tally.repeats), (0, 0, 0, 0));
        assert_eq!(t.started, t.ok, "nothing is left over");
        assert_eq!(t.setup.count(), t.ok);
        // One INVITE, one 200 and one BYE pass through per call.
        let passes = match scenario {
            Scenario::Call => 3,
            Scenario::Message => 1,
            _ => 0,
        };
        assert_eq!(t.pass.count(), passes * t.ok);
        assert_eq!(report.registered, if scenario == Scenario::Options { 0 } else { 10 });
        let json = report.to_json();
        assert_eq!((json["v"].as_u64(), json["ok"].as_bool()), (Some(1), Some(true)));
        assert!(report.server.is_some());
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = StandIn::start(Habits::default());
    let report =
        go_until(10, &Plan { pace: Pace::Rate(500.0), ..plan(&server, Scenario::Options) });
    // A machine that stalls may make it fewer, never more; the window is a little longer than the time of the last start.
    let most = report.seconds * 500.0 + 1.0;
    assert!(report.tally.whole.started as f64 <= most, "{} > {most}", report.tally.whole.started);
    let broken = |text: &str| text.parse::<FailIf>().unwrap().broken_by(&report);
    assert_eq!(broken("failed>0.1%"), None);
    assert!(broken("rate<100000").is_some() && broken("setup.min>0us").is_some());
}

#[test]
fn what_is_lost_is_repeated_and_the_call_succeeds() {
    for method in ["INVITE", "ACK", "BYE", "REGISTER"] {
        let server = StandIn::start(Habits { loses: Some(method), ..Habits::default() });
        let report = go(&Plan {
            pace: Pace::Rate(100.0),
            duration: Duration::from_millis(40),
            // An ACK must not be overtaken by its BYE here: only a call that goes on repeats its 200.
            hold: Duration::from_millis(if method == "ACK" { 700 } else { 0 }),
            keep_registered: true,
            ..plan(&server, Scenario::Call)
        });
        let t = &report.tally.whole;
        assert_eq!((t.failed, t.unexpected), (0, 0), "{method}: {}", report.to_text());
        assert_eq!(t.ok, t.started, "{method}");
        let expected = if method == "REGISTER" { 0 } else { t.ok };
        assert_eq!(t.retransmissions, expected, "{method}");
    }
}

#[test]
fn a_nonce_is_used_again_unless_told_otherwise() {
    let server = StandIn::start(Habits { challenges: true, ..Habits::default() });
    for (reuse_nonce, every_time) in [(true, false), (false, true)] {
        let secret = Secret { password: "x".to_owned(), algorithm: None, reuse_nonce };
        let report =
            go_until(11, &Plan { secret: Some(secret), ..plan(&server, Scenario::Register) });
        let (t, tally) = (&report.tally.whole, &report.tally);
        assert!(t.ok > 10 && t.failed == 0, "{}", report.to_text());
        assert_eq!(tally.challenges, if every_time { t.ok } else { 0 });
    }
    let error = run(&plan(&server, Scenario::Call), &Control::default(), |_| {}).err();
    let text = error.expect("no password, no registration").to_string();
    assert!(text.contains("10 x credentials"), "{text}");
}

#[test]
fn refusals_are_failures_with_a_name() {
    let server = StandIn::start(Habits { refuses: Some("INVITE"), ..Habits::default() });
    let report = go_until(1, &plan(&server, Scenario::Call));
    let (t, tally) = (&report.tally.whole, &report.tally);
    assert!(t.failed > 0 && t.ok == 0);
    assert_eq!(tally.failures.get(&Failure::Status(486)), Some(&t.failed));
    assert!((report.failed_share() - 1.0).abs() < 1e-9);
    assert!(report.to_text().contains("x 486"), "{}", report.to_text());
}

#[test]
fn an_interruption_ends_the_run_and_says_so() {
    let server = StandIn::start(Habits::default());
    let long = Plan { duration: Duration::from_secs(3_600), ..plan(&server, Scenario::Call) };
    for (end, interrupted) in [(Control::interrupt as fn(&Control), true), (Control::finish, false)]
    {
        let control = Control::default();
        let report = run(&long, &control, |progress| {
            if progress.phase == Phase::Measuring && control.stop() == Stop::Not {
                end(&control);
            }
        })
        .expect("runs");
        assert_eq!((report.stopped, report.interrupted), (true, interrupted));
        let t = &report.tally.whole;
        assert_eq!((t.failed, t.started), (0, t.ok), "what was begun was finished");
    }
    // Before anybody was registered: nothing is measured, and the few that were are gone again.
    let control = Control::default();
    control.interrupt();
    let report = run(&long, &control, |_| {}).expect("no error");
    assert_eq!((report.registered, report.tally.whole.started), (0, 0));
    assert_eq!((report.stopped, report.interrupted), (true, true));
}

#[test]
fn leaving_at_once_says_what_was_not_ended() {
    let server = StandIn::start(Habits::default());
    let control = Control::default();
    let long = Plan {
        duration: Duration::from_secs(3_600),
        hold: Duration::from_secs(3_600),
        ..plan(&server, Scenario::Call)
    };
    let report = run(&long, &control, |progress| {
        if progress.phase == Phase::Measuring && progress.active == 4 {
            control.leave();
        }
    })
    .expect("runs");
    assert_eq!((report.tally.whole.started, report.tally.whole.finished()), (4, 0));
    assert!(report.interrupted && report.to_text().contains("not ended 4"));
}

#[test]
fn a_ramp_counts_every_unit_in_one_step() {
    let server = StandIn::start(Habits::default());
    let ramp = Ramp { from: 40.0, to: 160.0, over: Duration::from_millis(500) };
    let report = go(&Plan {
        pace: Pace::Ramp(ramp),
        duration: ramp.over,
        limits: vec!["failed>0".parse().unwrap()],
        ..plan(&server, Scenario::Options)
    });
    let steps = report.tally.steps.as_ref().expect("steps").rows();
    let sum = |figure: fn(&Figures) -> u64| steps.iter().map(|s| figure(&s.figures)).sum::<u64>();
    let t = &report.tally.whole;
    assert_eq!((sum(|f| f.started), sum(|f| f.ok), sum(|f| f.failed)), (t.started, t.ok, 0));
    assert_eq!(sum(|f| f.setup.count()), t.ok);
    // (40 + 160) / 2 * 0.5 s; a machine that stalls may make it fewer, never more.
    assert!((1..=51).contains(&t.started), "{}", t.started);
    let knee = report.knee.clone().expect("a knee, or that there is none");
    assert_eq!(knee.limits, ["failed>0"]);
    assert!(knee.breach.is_none_or(|breach| breach.sender), "nothing failed");
    let json = report.to_json();
    assert_eq!(json["steps"]["rows"].as_array().map(Vec::len), Some(steps.len()));
    assert!(report.to_text().contains("knee      "), "{}", report.to_text());
}

#[test]
fn a_server_that_breaks_has_a_knee() {
    // Everything from the first ramped unit on is refused: not even the first step holds.
    let server = StandIn::start(Habits { refuses: Some("OPTIONS"), ..Habits::default() });
    let ramp = Ramp { from: 40.0, to: 100.0, over: Duration::from_millis(500) };
    let report = go(&Plan {
        pace: Pace::Ramp(ramp),
        duration: ramp.over,
        ..plan(&server, Scenario::Options)
    });
    let knee = report.knee.as_ref().expect("looked for");
    assert_eq!(knee.rate, None, "{knee:?}");
    let breach = knee.breach.as_ref().expect("broken");
    assert!(breach.sender || breach.why.starts_with("failed>0.1%: it was 100"), "{breach:?}");
    let broken = "knee<1".parse::<FailIf>().unwrap().broken_by(&report);
    assert_eq!(broken.as_deref(), Some("knee<1: it was 0.000"));
}

#[test]
fn a_population_refreshes_at_its_own_times() {
    let server = StandIn::start(Habits { challenges: true, ..Habits::default() });
    let secret = Secret { password: "x".to_owned(), algorithm: None, reuse_nonce: true };
    let refreshing = Plan {
        pace: Pace::Refresh(Duration::from_millis(20)),
        secret: Some(secret),
        ..plan(&server, Scenario::ReRegister)
    };
    assert_eq!(refreshing.refresh_rate(), Some(500.0));
    let report = go_until(1, &refreshing);
    let t = &report.tally.whole;
    // Ten phones, each after 16 to 24 ms: never more often.
    let most = 10.0 * (report.seconds / 0.016 + 1.0);
    assert!(t.ok > 0 && t.ok as f64 <= most, "{} > {most}", t.ok);
    assert_eq!((t.started, t.failed, report.tally.challenges), (t.ok, 0, 0));
    assert_eq!(report.registered, 10);
    assert_eq!(report.asked, Some(500.0));
}

#[test]
fn a_storm_ends_when_all_are_back() {
    let server = StandIn::start(Habits { challenges: true, ..Habits::default() });
    let secret = Secret { password: "x".to_owned(), algorithm: None, reuse_nonce: true };
    let storm = Plan {
        secret: Some(secret),
        duration: Duration::from_secs(3_600),
        users: Users::numbered("u", 200),
        ..plan(&server, Scenario::RegisterStorm)
    };
    let report = go(&storm);
    let end = report.storm.expect("a storm");
    assert_eq!((end.users, end.back, end.missing()), (200, 200, 0));
    assert!(end.peak >= 200.0 / end.time.as_secs_f64().max(0.1), "{end:?}");
    let t = &report.tally.whole;
    assert_eq!((t.started, t.ok, report.tally.challenges, report.registered), (200, 200, 200, 0));
    assert!(report.to_text().contains("all 200 back after"), "{}", report.to_text());
    let broken = |text: &str| text.parse::<FailIf>().unwrap().broken_by(&report).is_some();
    assert!(!broken("storm.missing>0") && !broken("storm.time>3600s") && broken("storm.time>0us"));
    // A wrong password will not get better: nobody waits for it.
    let report = go(&Plan { secret: None, ..storm });
    assert_eq!(report.storm.map(|end| end.back), Some(0));
    assert_eq!(report.tally.failures.get(&Failure::Credentials), Some(&200));
    let broken = |text: &str| text.parse::<FailIf>().unwrap().broken_by(&report).is_some();
    assert!(broken("storm.missing>199") && broken("storm.time>3600s") && broken("storm.peak<1"));
}

#[test]
fn who_is_told_to_come_later_does() {
    let server = StandIn::start(Habits { busy: 3, ..Habits::default() });
    let report = go(&Plan {
        duration: Duration::from_secs(3_600),
        ..plan(&server, Scenario::RegisterStorm)
    });
    let t = &report.tally.whole;
    assert_eq!((t.started, t.ok, t.failed), (13, 10, 3));
    assert_eq!(report.tally.failures.get(&Failure::Status(503)), Some(&3));
    assert_eq!(report.storm.map(|end| end.missing()), Some(0));
}

#[test]
fn messages_are_as_long_as_asked_and_survive_loss() {
    let server = StandIn::start(Habits { loses: Some("MESSAGE"), ..Habits::default() });
    let lossy = plan(&server, Scenario::Message);
    let report = go_until(1, &Plan { pace: Pace::Rate(20.0), sizes: (700, 700), ..lossy });
    let t = &report.tally.whole;
    assert_eq!((t.failed, t.unexpected, t.retransmissions), (0, 0, t.ok));
    assert!(t.ok > 0 && t.ok == t.started);
    assert_eq!(t.pass.count(), 0, "a repeated message says nothing about the way");
    assert!(server.longest_body() == 700);
}

#[test]
fn a_pause_begins_nothing_and_makes_up_for_nothing() {
    let server = StandIn::start(Habits::default());
    let control = Control::default();
    control.toggle_pause();
    let paused = Plan { pace: Pace::Rate(1_000.0), ..plan(&server, Scenario::Options) };
    let report = run(&paused, &control, |_| {}).expect("runs");
    assert_eq!(report.tally.whole.started, 0);
    assert!(!report.sender_limited || report.sender_cpu > 0.95);
}

#[test]
fn conditions_that_never_come_true_are_refused() {
    let server = StandIn::start(Habits::default());
    let fits = |text: &str, scenario| {
        text.parse::<FailIf>().unwrap().fits(&plan(&server, scenario)).map_err(|e| e.to_string())
    };
    for (text, scenario) in [
        ("knee<1", Scenario::Call),
        ("storm.time>1s", Scenario::Register),
        ("dial.p50>1ms", Scenario::Message),
        ("pass.p50>1ms", Scenario::Options),
        ("rtp.loss>1%", Scenario::Call),
    ] {
        let why = fits(text, scenario).expect_err(text);
        assert!(why.contains("would never come true"), "{why}");
    }
    for (text, scenario) in [
        ("failed>0", Scenario::Call),
        ("storm.time>1s", Scenario::RegisterStorm),
        ("dial.p50>1ms", Scenario::Call),
        ("pass.p50>1ms", Scenario::Message),
        ("rate<5", Scenario::ReRegister),
    ] {
        assert_eq!(fits(text, scenario), Ok(()), "{text}");
    }
}

#[test]
fn calls_have_sound_both_ways() {
    let server = StandIn::start(Habits::default());
    let report = go(&Plan {
        pace: Pace::Window(3),
        duration: Duration::from_millis(150),
        hold: Duration::from_millis(200),
        sound: true,
        ..plan(&server, Scenario::Call)
    });
    let (t, sound) = (&report.tally.whole, &report.tally.whole.sound);
    assert_eq!((t.started, t.ok), (3, 3), "{}", report.to_text());
    // 200 ms each way, three calls; a machine that stalls makes up for it or says less.
    assert!(sound.sent >= 6 && sound.sent <= 66, "{}", sound.sent);
    assert_eq!((sound.received, sound.lost, sound.silent), (sound.sent, 0, 0));
    assert_eq!((sound.jitter.count(), report.tally.stray_sound), (6, 0));
    assert_eq!(report.to_json()["rtp"]["sent"].as_u64(), Some(sound.sent));
    assert!(report.to_text().contains("rtp       sent "), "{}", report.to_text());
    let broken = |text: &str| text.parse::<FailIf>().unwrap().broken_by(&report).is_some();
    for fine in ["rtp.loss>0%", "rtp.lost>0", "rtp.worst>0%", "rtp.silent>0", "rtp.jitter>60s"] {
        assert!(!broken(fine), "{fine}");
    }
    assert!(broken("rtp.loss<1%") && broken("rtp.jitter<60s"));
}

#[test]
fn an_answer_without_an_address_is_a_failure_with_a_name() {
    let server = StandIn::start(Habits { spoils_sdp: true, ..Habits::default() });
    let report = go_until(1, &Plan { sound: true, ..plan(&server, Scenario::Call) });
    let t = &report.tally.whole;
    assert!(t.failed > 0 && t.ok == 0 && t.started == t.failed, "{}", report.to_text());
    assert_eq!(report.tally.failures.get(&Failure::NoSdp), Some(&t.failed));
    assert_eq!(t.sound.sent, 0);
}
