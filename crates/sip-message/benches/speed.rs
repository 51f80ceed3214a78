//! The stopwatch: `cargo bench -p sip-message --bench speed`. Nothing is gated on it; instruction counts are.

mod hot;

use bytes::Bytes;
use sip_message::{peek, write};

fn main() {
    divan::main();
}

#[divan::bench]
fn parse(bencher: divan::Bencher<'_, '_>) {
    let buf = Bytes::from_static(hot::INVITE);
    bencher.bench_local(|| hot::parse(divan::black_box(&buf)));
}

#[divan::bench]
fn parse_and_locate(bencher: divan::Bencher<'_, '_>) {
    let buf = Bytes::from_static(hot::INVITE);
    bencher.bench_local(|| hot::parse_and_locate(divan::black_box(&buf)));
}

#[divan::bench]
fn check(bencher: divan::Bencher<'_, '_>) {
    let request = hot::parse(&Bytes::from_static(hot::INVITE));
    bencher.bench_local(|| divan::black_box(&request).check());
}

#[divan::bench]
fn forward(bencher: divan::Bencher<'_, '_>) {
    let request = hot::parse(&Bytes::from_static(hot::INVITE));
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| hot::forward(divan::black_box(&request), &mut out));
}

#[divan::bench]
fn respond(bencher: divan::Bencher<'_, '_>) {
    let request = hot::parse(&Bytes::from_static(hot::INVITE));
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        write::response(divan::black_box(&request), 100, b"Trying", None, b"", b"", &mut out);
        out.len()
    });
}

#[divan::bench]
fn peek_call_id(bencher: divan::Bencher<'_, '_>) {
    bencher.bench_local(|| peek::call_id(divan::black_box(hot::INVITE)).map(<[u8]>::len));
}
