//! Nonces: what is genuine, what counts pass, what is forgotten (RFC 7616 §3.3, §5.12).

use core::net::Ipv4Addr;

use super::*;

const START: Instant = Instant::from_secs(1_800_000_000);
const LIFETIME: Duration = Duration::from_secs(300);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn mint() -> Mint {
    Mint::new(Seal::new([3; 16]), START)
}

/// A nonce issued `age` seconds before `START`, for the n-th client.
fn nonce(age: u64, client: u8) -> Nonce {
    let text = mint().issue(Instant(START.0 - age * 1_000_000), "example.com", &[&[client]], HERE);
    mint().read("example.com", &text).unwrap()
}

fn answered(count: u32) -> Answered {
    Answered { count, owner: 1, request: count ^ 0x8000_0000 }
}

#[test]
fn read_back_is_what_was_issued() {
    let text = mint().issue(START, "example.com", &[b"192.0.2.1", b"call-1"], HERE);
    assert!(text.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)));
    assert_eq!(mint().read("example.com", &text).unwrap().issued, ticks(START));
}

#[test]
fn every_request_gets_a_nonce_of_its_own() {
    let mint = mint();
    let one = mint.issue(START, "example.com", &[b"192.0.2.1", b"call-1"], HERE);
    assert_ne!(one, mint.issue(START, "example.com", &[b"192.0.2.2", b"call-1"], HERE));
    assert_ne!(
        one,
        mint.issue(START + Duration::from_secs(1), "example.com", &[b"192.0.2.1", b"call-1"], HERE)
    );
}

#[test]
fn forged_foreign_and_old_runs_are_refused() {
    let text = mint().issue(START, "example.com", &[b"x"], HERE);
    for place in 0..NONCE_LENGTH {
        let mut forged = text;
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(mint().read("example.com", &forged), None, "letter {place}");
    }
    assert_eq!(mint().read("example.net", &text), None, "another realm");
    assert_eq!(mint().read("example.com", &text[1..]), None, "cut");
    assert_eq!(mint().read("example.com", b""), None);
    let restarted = Mint::new(Seal::new([3; 16]), START + Duration::from_secs(1));
    assert_eq!(restarted.read("example.com", &text), None, "an earlier run");
    let other_key = Mint::new(Seal::new([4; 16]), START);
    assert_eq!(other_key.read("example.com", &text), None, "another key");
}

#[test]
fn counts_pass_once_in_any_order_within_the_window() {
    let mut ledger = Ledger::new(16);
    let nonce = nonce(0, 1);
    for count in [1, 3, 2, 70, 69, 7] {
        assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(count)), Use::Fresh, "{count}");
    }
    let thief = |count| Answered { request: 1, ..answered(count) };
    for count in [1, 2, 3, 7, 69, 70] {
        assert_eq!(ledger.redeem(START, LIFETIME, nonce, thief(count)), Use::Replay, "{count}");
    }
    assert_eq!(
        ledger.redeem(START, LIFETIME, nonce, answered(6)),
        Use::Replay,
        "64 behind: forgotten"
    );
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(8)), Use::Fresh);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(u32::MAX)), Use::Fresh);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(71)), Use::Replay);
}

#[test]
fn the_very_same_request_is_a_retransmission() {
    let mut ledger = Ledger::new(16);
    let nonce = nonce(0, 1);
    for count in 1..=5 {
        assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(count)), Use::Fresh);
    }
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(5)), Use::Retransmission);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(2)), Use::Retransmission);
    assert_eq!(
        ledger.redeem(START, LIFETIME, nonce, answered(1)),
        Use::Replay,
        "only the last four"
    );
}

#[test]
fn a_retransmission_comes_soon() {
    let mut ledger = Ledger::new(16);
    let nonce = nonce(0, 1);
    let redeem = |ledger: &mut Ledger, second, count| {
        ledger.redeem(START + Duration::from_secs(second), LIFETIME, nonce, answered(count))
    };
    assert_eq!(redeem(&mut ledger, 0, 1), Use::Fresh);
    assert_eq!(redeem(&mut ledger, 20, 2), Use::Fresh);
    assert_eq!(redeem(&mut ledger, 32, 1), Use::Retransmission);
    assert_eq!(redeem(&mut ledger, 33, 1), Use::Replay, "the caller has given up by now");
    assert_eq!(redeem(&mut ledger, 52, 2), Use::Retransmission);
    assert_eq!(redeem(&mut ledger, 53, 2), Use::Replay);
}

/// SEC-REPLAY-1, at the ledger: one captured answer, fifty-one tries from elsewhere.
#[test]
fn s_6_replay_none_of_51() {
    let mut ledger = Ledger::new(16);
    let nonce = nonce(0, 1);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(1)), Use::Fresh);
    let passed = (0..51).filter(|try_number| {
        let later = START + Duration::from_millis(500 * try_number);
        let elsewhere = Answered { request: *try_number as u32, ..answered(1) };
        ledger.redeem(later, LIFETIME, nonce, elsewhere) != Use::Replay
    });
    assert_eq!(passed.count(), 0);
}

#[test]
fn a_nonce_belongs_to_its_first_user() {
    let mut ledger = Ledger::new(16);
    let nonce = nonce(0, 1);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(1)), Use::Fresh);
    let other = Answered { owner: 2, ..answered(2) };
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, other), Use::Replay);
}

#[test]
fn first_use_within_32_seconds_then_the_whole_lifetime() {
    let mut ledger = Ledger::new(16);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce(33, 1), answered(1)), Use::Stale);
    let nonce = nonce(32, 1);
    assert_eq!(ledger.redeem(START, LIFETIME, nonce, answered(1)), Use::Fresh);
    let end = START + Duration::from_secs(300 - 32);
    assert_eq!(ledger.redeem(end, LIFETIME, nonce, answered(2)), Use::Fresh);
    assert_eq!(
        ledger.redeem(end + Duration::from_secs(1), LIFETIME, nonce, answered(3)),
        Use::Stale
    );
}

#[test]
fn a_nonce_from_the_future_is_stale_beyond_a_second() {
    let mut ledger = Ledger::new(16);
    let before = |seconds: u64| Instant(START.0 - seconds * 1_000_000);
    assert_eq!(ledger.redeem(before(2), LIFETIME, nonce(0, 1), answered(1)), Use::Stale);
    assert_eq!(ledger.redeem(before(1), LIFETIME, nonce(0, 1), answered(1)), Use::Fresh);
    assert_eq!(ledger.redeem(before(1), LIFETIME, nonce(0, 1), answered(2)), Use::Fresh);
}

#[test]
fn a_full_ledger_forgets_towards_stale() {
    let mut ledger = Ledger::new(4);
    let nonces: Vec<Nonce> = (0..6).map(|n| nonce(10 - u64::from(n), n)).collect();
    for nonce in &nonces {
        assert_eq!(ledger.redeem(START, LIFETIME, *nonce, answered(1)), Use::Fresh);
    }
    assert_eq!(ledger.len(), 4);
    for forgotten in &nonces[..2] {
        assert_eq!(
            ledger.redeem(START, LIFETIME, *forgotten, answered(1)),
            Use::Stale,
            "no replay"
        );
        assert_eq!(
            ledger.redeem(START, LIFETIME, *forgotten, answered(2)),
            Use::Stale,
            "and no further use"
        );
    }
    for kept in &nonces[2..] {
        assert_eq!(ledger.redeem(START, LIFETIME, *kept, answered(2)), Use::Fresh);
    }
    assert_eq!(
        ledger.redeem(START, LIFETIME, nonce(9, 77), answered(1)),
        Use::Stale,
        "as old as the forgotten"
    );
    assert_eq!(ledger.redeem(START, LIFETIME, nonce(0, 78), answered(1)), Use::Fresh);
}

#[test]
fn what_is_over_makes_room() {
    let mut ledger = Ledger::new(1000);
    for client in 0..100 {
        ledger.redeem(START, LIFETIME, nonce(0, client), answered(1));
    }
    assert_eq!(ledger.len(), 100);
    let later = START + LIFETIME + Duration::from_secs(1);
    let text = mint().issue(later, "example.com", &[b"new"], HERE);
    let fresh = mint().read("example.com", &text).unwrap();
    assert_eq!(ledger.redeem(later, LIFETIME, fresh, answered(1)), Use::Fresh);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<Entry>() <= 56, "{}", size_of::<Entry>());
}

/// Whatever happens, in whatever order, with however small a ledger: no count of a nonce passes twice.
#[test]
fn no_count_ever_passes_twice() {
    let mut state = 42_u64;
    let mut random = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for entries_max in [1, 2, 5, 40] {
        let mut ledger = Ledger::new(entries_max);
        let mut passed = std::collections::HashSet::new();
        let mut nonces: Vec<Nonce> = Vec::new();
        let mut now = START;
        for step in 0..6_000_u64 {
            now = now + Duration::from_millis(random(400));
            if nonces.is_empty() || random(4) == 0 {
                let text = mint().issue(now, "example.com", &[&step.to_be_bytes()], HERE);
                nonces.push(mint().read("example.com", &text).unwrap());
            }
            let newest = nonces.len() as u64;
            let nonce = nonces[(newest - 1 - random(newest.min(60))) as usize];
            // Every attempt is another request, so a retransmission is never right.
            let count = 1 + random(70) as u32;
            let answered = Answered { count, owner: 1, request: step as u32 };
            match ledger.redeem(now, LIFETIME, nonce, answered) {
                Use::Fresh => {
                    assert!(passed.insert((nonce.key, count)), "{count} twice, at {step}")
                }
                Use::Retransmission => panic!("step {step} was never sent before"),
                Use::Replay | Use::Stale => {}
            }
            assert!(ledger.len() <= entries_max);
        }
        assert!(passed.len() > 300, "{} passed with room for {entries_max}", passed.len());
    }
}

#[test]
fn a_nonce_knows_whom_it_was_sent_to() {
    let text = mint().issue(START, "example.com", &[b"x"], HERE);
    let nonce = mint().read("example.com", &text).unwrap();
    assert!(mint().was_sent_to(&nonce, HERE));
    assert!(mint().was_sent_to(&nonce, "::ffff:192.0.2.1".parse().unwrap()));
    assert!(!mint().was_sent_to(&nonce, "192.0.2.2".parse().unwrap()));
}
