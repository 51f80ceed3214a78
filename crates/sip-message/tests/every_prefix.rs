//! Hostile input by exhaustion: every prefix, every flipped byte and every deleted byte of the seed messages, and the
//! malformed corpus. The oracle says what must hold; this file only says for which inputs.

mod corpus;
mod oracle;

/// How many seeds are taken apart; the soak run takes all of them.
fn seeds_max() -> usize {
    if std::env::var_os("RINGWAY_SOAK").is_some() { usize::MAX } else { 300 }
}

/// Seeds for the exhaustive runs, the short ones first: every RFC message, then what else parses.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let rfc = corpus::expected();
    let mut seeds: Vec<_> = rfc.iter().map(|row| (row.file.clone(), corpus::wire(row))).collect();
    let more = corpus::malformed().into_iter().filter(|(_, b)| b.len() <= 1500);
    seeds.extend(more);
    seeds.sort_by_key(|(_, bytes)| bytes.len());
    seeds
}

/// The seeds of one run: spread over all lengths, so that a short run meets every kind.
fn chosen() -> Vec<(String, Vec<u8>)> {
    let seeds = seeds();
    let step = (seeds.len() / seeds_max().min(seeds.len())).max(1);
    seeds.into_iter().step_by(step).collect()
}

#[test]
fn every_prefix() {
    for (_, bytes) in chosen() {
        for end in 0..=bytes.len() {
            oracle::datagram(&bytes[..end]);
        }
    }
}

#[test]
fn a_cut_message_is_never_taken_for_whole() {
    for row in corpus::expected().iter().filter(|row| row.class == "valid") {
        let bytes = corpus::wire(row);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            panic!("{}", row.file)
        };
        for end in 0..head + 4 {
            let parsed = sip_message::Message::parse(bytes[..end].to_vec().into());
            assert!(parsed.is_err(), "{} cut at {end}", row.file);
        }
    }
}

#[test]
fn every_flipped_and_deleted_byte() {
    let mut inputs = 0u64;
    for (_, bytes) in chosen() {
        let mut mutant = bytes.clone();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                mutant[at] = bytes[at] ^ flip;
                oracle::datagram(&mutant);
                inputs += 1;
            }
            for byte in *b"\r\n\0\"<>;,:=@ " {
                if seeds_max() == usize::MAX {
                    mutant[at] = byte;
                    oracle::datagram(&mutant);
                    inputs += 1;
                }
            }
            mutant[at] = bytes[at];
            let mut shorter = bytes.clone();
            shorter.remove(at);
            oracle::datagram(&shorter);
            inputs += 1;
        }
    }
    assert!(inputs > 100_000, "{inputs}");
}

#[test]
fn the_malformed_corpus_on_datagrams_and_streams() {
    for (name, bytes) in corpus::malformed() {
        let caught = std::panic::catch_unwind(|| {
            oracle::datagram(&bytes);
            oracle::uri(&bytes);
            for step in [1, 2, 3, 7, 64, 1460] {
                oracle::stream(&bytes, step);
            }
        });
        assert!(caught.is_ok(), "{name}");
    }
}

#[test]
fn every_cut_of_a_stream_gives_the_same_frames() {
    let mut stream = Vec::new();
    for row in corpus::expected().iter().filter(|row| row.class == "valid").take(8) {
        stream.extend_from_slice(b"\r\n\r\n");
        stream.extend_from_slice(&corpus::wire(row));
    }
    for step in 1..200 {
        oracle::stream(&stream, step);
    }
}
