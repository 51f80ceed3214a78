//! Small changes to messages, the same for the same seed.

pub struct Random(u64);

const PIECES: [&[u8]; 18] = [
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b" ",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"@",
    b"%41",
    b";tag=x",
    b"\r\nCall-ID: other",
    b"\r\nTo: <sip:o@o>;tag=o",
    b"\r\nl: 3",
];

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// One to three changes: a byte, a piece, a deletion, a doubled or foreign line.
    pub fn mutate(&mut self, bytes: &[u8], corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(out.len());
            match self.below(6) {
                0 => {
                    if let Some(b) = out.get_mut(at) {
                        *b ^= 1 << self.below(8);
                    }
                }
                1 => insert(&mut out, at, PIECES[self.below(PIECES.len())]),
                2 => drop(out.drain(at..(at + 1 + self.below(4)).min(out.len()))),
                3 => {
                    let line = self.line(bytes);
                    insert_line(&mut out, at, &line);
                }
                4 => {
                    let other = self.below(corpus.len());
                    let line = self.line(&corpus[other].1);
                    insert_line(&mut out, at, &line);
                }
                _ => {
                    if let Some(b) = out.get_mut(at) {
                        *b = b"\0\t !#0aZ~\x7f\x80\xff"[self.below(12)];
                    }
                }
            }
        }
        out
    }

    fn line(&mut self, bytes: &[u8]) -> Vec<u8> {
        let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
        lines[self.below(lines.len())].to_vec()
    }
}

fn insert(out: &mut Vec<u8>, at: usize, piece: &[u8]) {
    out.splice(at.min(out.len())..at.min(out.len()), piece.iter().copied());
}

/// Before the line that `at` is in.
fn insert_line(out: &mut Vec<u8>, at: usize, line: &[u8]) {
    let start = out[..at.min(out.len())].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
    insert(out, start, &[line, b"\n"].concat());
}
