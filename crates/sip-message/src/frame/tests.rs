//! Streams cut at every byte give the same frames as whole ones.

use super::*;

const OPTIONS: &[u8] = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length\r\n : 4\r\n\r\nbody";

fn frames(stream: &[u8], step: usize) -> Vec<Frame> {
    let mut framer = Framer::new();
    let mut out = Vec::new();
    for piece in stream.chunks(step) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            out.push(frame);
        }
    }
    out
}

#[test]
fn any_cut_gives_the_same_frames() {
    let message = b"OPTIONS sip:x SIP/2.0\r\nl: \r\n 4\r\n\r\nbody";
    let mut stream = b"\r\n\r\n\r\n".to_vec();
    for _ in 0..3 {
        stream.extend_from_slice(message);
    }
    stream.extend_from_slice(b"\r\n\r\n");
    let message = Frame::Message(Bytes::from_static(message));
    let expected = [Frame::KeepAlive, message.clone(), message.clone(), message, Frame::KeepAlive];
    for step in 1..stream.len() {
        assert_eq!(frames(&stream, step), expected, "step {step}");
    }
}

#[test]
fn unknown_length_breaks_the_stream() {
    for bad in [
        &b"X sip:x SIP/2.0\r\nTo: a\r\n\r\nOPTIONS"[..],
        b"X sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\nOPTIONS",
        b"X sip:x SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\nOPTIONS",
        b"X sip:x SIP/2.0\r\nl: 4294967300\r\n\r\nOPTIONS",
        b"X sip:x SIP/2.0\r\nl: 5 5\r\n\r\nOPTIONS",
        b"X sip:x SIP/2.0\r\nl:\r\n\r\nOPTIONS",
    ] {
        for step in [1, 7, bad.len()] {
            let got = frames(bad, step);
            assert!(matches!(&got[..], [Frame::Broken(_)]), "{} {got:?}", bad.escape_ascii());
        }
    }
    assert!(matches!(&frames(OPTIONS, 3)[..], [Frame::Broken(_)]), "a name cannot be folded");
}

#[test]
fn a_head_without_end_breaks_the_stream() {
    let endless = [b"X sip:x SIP/2.0\r\n".to_vec(), b"a: b\r\n".repeat(10_000)].concat();
    assert!(matches!(&frames(&endless, 1460)[..], [Frame::Broken(_)]));
    assert!(matches!(&frames(&vec![b'a'; 70_000], 1460)[..], [Frame::Broken(_)]));
    let folds = [b"X sip:x SIP/2.0\r\na: b\r\n".to_vec(), b" c\r\n".repeat(10_000)].concat();
    assert!(matches!(&frames(&folds, 1460)[..], [Frame::Broken(_)]));
}
