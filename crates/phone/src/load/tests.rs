//! Whole runs against a stand-in server on loopback, in one process: it relays calls, loses what it is told to lose,
//! and challenges registrations.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
}

struct StandIn {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    fn start(habits: Habits) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::thread::spawn(move || serve(&socket, habits, &ended));
        Self { address, over, thread: Some(thread) }
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

fn serve(socket: &UdpSocket, habits: Habits, over: &AtomicBool) {
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
        let (out, target) = match message.start {
            Start::Response(_) => {
                (format!("{first}\r\n{}", rest.split_once("\r\n").unwrap().1), caller)
            }
            Start::Request(method) if habits.refuses.is_some_and(|m| m.as_bytes() == method) => {
                (answer("486 Busy Here", &message), Some(source))
            }
            Start::Request(b"OPTIONS") => (answer("200 OK", &message), Some(source)),
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
        server_pids: vec![std::process::id()],
    }
}

fn go(plan: &Plan) -> Report {
    run(plan, &AtomicU32::new(0), |_| {}).expect("runs")
}

#[test]
fn every_scenario_succeeds_and_adds_up() {
    let server = StandIn::start(Habits::default());
    for scenario in [Scenario::Options, Scenario::Register, Scenario::Call] {
        let report = go(&plan(&server, scenario));
        let t = &report.tally;
        assert!(t.ok > 10, "{}", report.to_text());
        assert_eq!((t.failed, t.retransmissions, t.unexpected, t.repeats), (0, 0, 0, 0));
        assert_eq!(t.started, t.ok, "nothing is left over");
        assert_eq!(t.setup.count(), t.ok);
        // One INVITE, one 200 and one BYE pass through per call.
        let calls = scenario == Scenario::Call;
        assert_eq!(t.pass.count(), if calls { 3 * t.ok } else { 0 });
        assert_eq!(report.registered, if scenario == Scenario::Options { 0 } else { 10 });
        let json = report.to_json();
        assert_eq!((json["v"].as_u64(), json["ok"].as_bool()), (Some(1), Some(true)));
        assert!(report.server.is_some());
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = StandIn::start(Habits::default());
    let report = go(&Plan { pace: Pace::Rate(500.0), ..plan(&server, Scenario::Options) });
    // 60 ms at 500 a second; a machine that stalls may make it fewer, never more.
    assert!((10..=31).contains(&report.tally.started), "{}", report.tally.started);
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
        let t = &report.tally;
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
        let report = go(&Plan { secret: Some(secret), ..plan(&server, Scenario::Register) });
        let t = &report.tally;
        assert!(t.ok > 10 && t.failed == 0, "{}", report.to_text());
        assert_eq!(t.challenges, if every_time { t.ok } else { 0 });
    }
    let error = run(&plan(&server, Scenario::Call), &AtomicU32::new(0), |_| {}).err();
    let text = error.expect("no password, no registration").to_string();
    assert!(text.contains("10 x credentials"), "{text}");
}

#[test]
fn refusals_are_failures_with_a_name() {
    let server = StandIn::start(Habits { refuses: Some("INVITE"), ..Habits::default() });
    let report = go(&plan(&server, Scenario::Call));
    let t = &report.tally;
    assert!(t.failed > 0 && t.ok == 0);
    assert_eq!(t.failures.get(&Failure::Status(486)), Some(&t.failed));
    assert!((report.failed_share() - 1.0).abs() < 1e-9);
    assert!(report.to_text().contains("x 486"), "{}", report.to_text());
}

#[test]
fn an_interruption_ends_the_run_and_says_so() {
    let server = StandIn::start(Habits::default());
    let stop = AtomicU32::new(0);
    let long = Plan { duration: Duration::from_secs(3_600), ..plan(&server, Scenario::Call) };
    let report = run(&long, &stop, |progress| {
        if progress.phase == Phase::Measuring {
            stop.store(1, Ordering::Relaxed);
        }
    })
    .expect("runs");
    assert!(report.interrupted && report.tally.failed == 0);
    assert_eq!(report.tally.started, report.tally.ok, "what was begun was finished");
}
