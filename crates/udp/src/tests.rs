//! Real sockets on loopback: sizes, families, batches and what happens when one message of a batch cannot be sent.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::*;

fn bind(address: &str) -> (Socket, SocketAddr) {
    let socket = Socket::bind(address.parse().unwrap(), &Options::default()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn flush(outgoing: &mut Outgoing<Vec<u8>, u32>, socket: &Socket) -> (Flush, Vec<Failure<u32>>) {
    let mut failures = Vec::new();
    let flush = outgoing.flush(socket, |failure| failures.push(failure), drop);
    (flush, failures)
}

/// Loopback delivers within the send call, so nothing needs to wait.
fn drain(socket: &Socket, inbox: &mut Inbox) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while socket.receive(inbox).is_ok() {
        for datagram in inbox.datagrams() {
            assert!(!datagram.truncated);
            all.push((datagram.source, datagram.bytes.to_vec()));
        }
    }
    all
}

#[test]
fn a_hundred_datagrams_keep_their_order_and_bytes() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let ((a, from), (b, to)) = (bind(address), bind(address));
        let mut outgoing = Outgoing::new();
        for i in 0..100_u32 {
            outgoing.push(to, vec![i as u8; 200 + i as usize * 10], i);
        }
        let (done, failures) = flush(&mut outgoing, &a);
        assert_eq!((done, failures.len(), outgoing.len()), (Flush::Done, 0, 0));
        let mut inbox = Inbox::new(BATCH_MAX);
        assert_eq!(b.receive(&mut inbox).unwrap(), BATCH_MAX);
        assert_eq!(inbox.len(), BATCH_MAX);
        let first = inbox.datagrams().next().unwrap();
        assert_eq!((first.source, first.bytes), (from, &vec![0_u8; 200][..]));
        let rest = drain(&b, &mut inbox);
        assert_eq!(rest.len(), 100 - BATCH_MAX);
        for (i, (source, bytes)) in (BATCH_MAX as u32..).zip(&rest) {
            assert_eq!((source, bytes), (&from, &vec![i as u8; 200 + i as usize * 10]));
        }
        assert!(inbox.is_empty(), "a read that found nothing leaves nothing");
    }
}

#[test]
fn the_largest_datagrams_arrive_whole() {
    for (address, largest) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_527)] {
        let ((a, _), (b, to)) = (bind(address), bind(address));
        let mut outgoing = Outgoing::new();
        let pattern: Vec<u8> = (0..largest).map(|i| (i % 251) as u8).collect();
        for i in 0..3 {
            outgoing.push(to, pattern.clone(), i);
        }
        outgoing.push(to, Vec::new(), 3);
        assert_eq!(flush(&mut outgoing, &a).0, Flush::Done);
        let all = drain(&b, &mut Inbox::new(BATCH_MAX));
        let lengths: Vec<usize> = all.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [largest, largest, largest, 0]);
        assert!(all.iter().take(3).all(|(_, bytes)| *bytes == pattern));
    }
}

#[test]
fn one_unsendable_message_costs_only_itself() {
    let ((a, _), (b, to)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let mut outgoing = Outgoing::new();
    for i in 0..70_u32 {
        match i {
            // A v4 socket cannot send to a v6 address; 70,000 bytes fit no datagram; port 0 is nobody.
            20 => outgoing.push("[::1]:5060".parse().unwrap(), vec![20], i),
            21 => outgoing.push(to, vec![0; 70_000], i),
            65 => outgoing.push("127.0.0.1:0".parse().unwrap(), vec![65], i),
            _ => outgoing.push(to, vec![i as u8], i),
        }
    }
    let (done, failures) = flush(&mut outgoing, &a);
    assert_eq!(done, Flush::Done);
    let failed: Vec<u32> = failures.iter().map(|failure| failure.tag).collect();
    assert_eq!(failed, [20, 21, 65]);
    let got: Vec<u8> = drain(&b, &mut Inbox::new(BATCH_MAX)).iter().map(|(_, b)| b[0]).collect();
    let expected: Vec<u8> = (0..70).filter(|i| ![20, 21, 65].contains(i)).collect();
    assert_eq!(got, expected);
}

#[test]
fn runs_of_one_length_arrive_as_they_were_queued() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let ((a, from), (b, to), (c, other)) = (bind(address), bind(address), bind(address));
        let mut outgoing = Outgoing::new().merging();
        // Long runs, a shorter end, an empty one, another peer in between, some too large to be merged.
        let lengths =
            [[400; 90].as_slice(), &[300, 400, 400, 0, 0, 7, 7, 8], &[2_000; 5], &[1_452; 70]];
        let mut expected = Vec::new();
        for (i, length) in (0_u32..).zip(lengths.concat()) {
            let bytes = vec![i as u8; length];
            if i % 40 == 39 {
                outgoing.push(other, vec![1; 400], i);
            }
            outgoing.push(to, bytes.clone(), i);
            expected.push((from, bytes));
        }
        let (done, failures) = flush(&mut outgoing, &a);
        assert_eq!((done, failures.len(), outgoing.len()), (Flush::Done, 0, 0));
        let mut inbox = Inbox::new(BATCH_MAX);
        assert!(drain(&b, &mut inbox) == expected, "{address}");
        assert_eq!(drain(&c, &mut inbox).len(), lengths.concat().len() / 40);
    }
}

#[test]
fn an_unsendable_run_is_taken_apart() {
    let ((a, _), (b, to)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let mut outgoing = Outgoing::new().merging();
    for i in 0..30_u32 {
        let target = if (10..20).contains(&i) { "127.0.0.1:0".parse().unwrap() } else { to };
        outgoing.push(target, vec![i as u8; 100], i);
    }
    let (done, failures) = flush(&mut outgoing, &a);
    assert_eq!(done, Flush::Done);
    assert!(failures.iter().map(|failure| failure.tag).eq(10..20), "each of them, none besides");
    assert_eq!(drain(&b, &mut Inbox::new(BATCH_MAX)).len(), 20);
}

#[test]
fn a_dead_peer_disturbs_nobody() {
    let (a, from) = bind("127.0.0.1:0");
    let (gone, dead) = bind("127.0.0.1:0");
    drop(gone);
    let mut outgoing = Outgoing::new();
    for i in 0..4 {
        outgoing.push(if i % 2 == 0 { dead } else { from }, vec![i as u8], i);
        // One by one, so that a refusal that came back could hit the next.
        assert!(flush(&mut outgoing, &a).1.is_empty());
    }
    assert_eq!(drain(&a, &mut Inbox::new(4)).len(), 2);
}

#[test]
fn the_receive_buffer_is_read_back_and_drops_are_counted() {
    let options = Options { reuse_port: false, buffer: 16 * 1024 };
    let b = Socket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let granted = b.receive_buffer().unwrap();
    assert!((16 * 1024..=64 * 1024).contains(&granted), "{granted}");
    let (a, _) = bind("127.0.0.1:0");
    let mut outgoing = Outgoing::new();
    for i in 0..500 {
        outgoing.push(b.local_addr().unwrap(), vec![0; 1_000], i);
    }
    assert!(flush(&mut outgoing, &a).1.is_empty());
    let arrived = drain(&b, &mut Inbox::new(BATCH_MAX)).len();
    assert!(arrived < 500);
    assert_eq!(b.drops().unwrap() as usize, 500 - arrived);
}

#[test]
fn a_group_shares_a_port_and_spreads_at_random() {
    let options = Options { reuse_port: true, ..Options::default() };
    let first = Socket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let address = first.local_addr().unwrap();
    assert!(is_free(address).is_err(), "somebody else listens there");
    let second = Socket::bind(address, &options).unwrap();
    let (a, _) = bind("127.0.0.1:0");
    let shares = |count: u32| {
        let mut outgoing = Outgoing::new();
        for i in 0..count {
            outgoing.push(address, vec![1], i);
        }
        assert_eq!(flush(&mut outgoing, &a).0, Flush::Done);
        let mut inbox = Inbox::new(BATCH_MAX);
        (drain(&first, &mut inbox).len() as u32, drain(&second, &mut inbox).len() as u32)
    };
    let (x, y) = shares(200);
    assert!(x == 200 || y == 200, "by hash one sender belongs to one socket: {x} {y}");
    first.spread_at_random(2).unwrap();
    let (x, y) = shares(200);
    assert_eq!(x + y, 200);
    assert!(x > 20 && y > 20, "{x} {y}");
    first.spread_by_hash().unwrap();
    let (x, y) = shares(200);
    assert!(x == 200 || y == 200, "{x} {y}");
}

#[test]
fn nothing_waiting_is_would_block() {
    let (a, _) = bind("127.0.0.1:0");
    let error = a.receive(&mut Inbox::new(0)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(a.as_raw_fd() > 2);
    set_timer_slack(1).unwrap();
}

#[test]
fn waiting_ends_with_a_datagram_or_in_time() {
    let sockets = [bind("127.0.0.1:0").0, bind("[::1]:0").0];
    assert!(!wait(&sockets, Duration::from_micros(1)).unwrap());
    let mut outgoing = Outgoing::new();
    outgoing.push(sockets[1].local_addr().unwrap(), vec![1], 0);
    assert_eq!(flush(&mut outgoing, &sockets[1]).0, Flush::Done);
    assert!(wait(&sockets, Duration::from_secs(60)).unwrap());
}

#[test]
fn an_async_socket_wakes_for_every_batch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let ((a, _), (b, to)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let (a, b) = (AsyncSocket::new(a).unwrap(), AsyncSocket::new(b).unwrap());
        let mut inbox = Inbox::new(8);
        let mut outgoing: Outgoing<Vec<u8>, u32> = Outgoing::new();
        // Short, exactly full, longer than a batch: whatever the readiness flag was left at, nothing is missed.
        for count in [1, 8, 20, 3, 16, 1, 1] {
            for i in 0..count {
                outgoing.push(to, vec![7; 50], i);
            }
            assert_eq!(a.flush(&mut outgoing, |failure| panic!("{failure:?}")), Flush::Done);
            let mut got = 0;
            while got < count as usize {
                got += b.receive(&mut inbox).await.unwrap();
            }
            assert_eq!(got, count as usize);
            assert_eq!(b.try_receive(&mut inbox).unwrap(), 0);
        }
        a.writable().await.unwrap();
    });
}

/// A peer that nobody is: one refusal with the bytes we sent, and nobody else notices.
#[test]
fn a_refusal_says_whose_datagram_it_was_and_disturbs_nobody() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let ((socket, _), (other, there)) = (bind(address), bind(address));
        socket.keep_refusals().unwrap();
        let (gone, nobody) = bind(address);
        drop(gone);
        let mut outgoing = Outgoing::new();
        let mut inbox = Inbox::new(BATCH_MAX);
        for round in 0..20_u32 {
            outgoing.push(nobody, format!("to nobody, {round}").into_bytes(), round);
            assert_eq!(flush(&mut outgoing, &socket).1.len(), 0);
            // The error waits in the socket: what comes next is not about it.
            outgoing.push(there, b"to somebody".to_vec(), round);
            let (done, failures) = flush(&mut outgoing, &socket);
            assert_eq!((done, failures.len()), (Flush::Done, 0), "round {round}");
            let mut room = [0; 1_280];
            let refusal = socket.refusal(&mut room).unwrap().expect("the network said so");
            assert_eq!(refusal.target, nobody);
            assert_eq!(refusal.quoted, format!("to nobody, {round}").as_bytes());
            assert!(socket.refusal(&mut room).unwrap().is_none(), "told once");
            outgoing.push(nobody, b"again".to_vec(), round);
            flush(&mut outgoing, &socket);
            let nothing = socket.receive(&mut inbox).unwrap_err();
            assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
            while socket.refusal(&mut room).unwrap().is_some() {}
        }
        assert_eq!(drain(&other, &mut inbox).len(), 20, "all of them arrived");
    }
}

/// A batch with dead peers in it: everybody alive gets theirs.
#[test]
fn dead_peers_in_a_batch_cost_nobody_a_datagram() {
    let ((socket, _), (other, there)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    socket.keep_refusals().unwrap();
    let (gone, nobody) = bind("127.0.0.1:0");
    drop(gone);
    let mut outgoing = Outgoing::new();
    for i in 0..200_u32 {
        let target = if i % 3 == 0 { nobody } else { there };
        outgoing.push(target, vec![i as u8; 100], i);
    }
    let (done, failures) = flush(&mut outgoing, &socket);
    assert_eq!((done, failures.len()), (Flush::Done, 0));
    let alive = (0..200).filter(|i| i % 3 != 0).count();
    assert_eq!(drain(&other, &mut Inbox::new(BATCH_MAX)).len(), alive);
    let (mut room, mut refused) = ([0; 1_280], 0);
    while socket.refusal(&mut room).unwrap().is_some() {
        refused += 1;
    }
    // ICMP is limited by the kernel: some, not all.
    assert!((1..=67).contains(&refused), "{refused}");
}

#[test]
fn a_refusal_wakes_whoever_waits_for_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ((socket, _), (gone, nobody)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        drop(gone);
        socket.keep_refusals().unwrap();
        let socket = AsyncSocket::new(socket).unwrap();
        for round in 0..3_u32 {
            let mut outgoing = Outgoing::new();
            outgoing.push(nobody, b"anybody?".to_vec(), round);
            socket.flush(&mut outgoing, |_| panic!("it could be sent"));
            socket.refused().await.unwrap();
            let (mut room, mut heard) = ([0; 1_280], 0);
            while let Ok(Some(refusal)) = socket.socket().refusal(&mut room) {
                assert_eq!(refusal.target, nobody);
                heard += 1;
            }
            assert_eq!(heard, 1);
        }
        // Nothing more is said, and nobody is woken.
        let idle = tokio::time::timeout(Duration::from_millis(20), socket.refused()).await;
        assert!(idle.is_err());
    });
}
