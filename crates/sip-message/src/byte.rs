//! Which bytes may stand where (RFC 3261 §25.1), as one table of bits. It never decides what a value means.

/// `token`: names, methods, most parameter values.
pub const TOKEN: u8 = 1;
/// Linear white space, with the CR and LF of a fold.
pub const SPACE: u8 = 2;
/// What a parameter value outside quotes may hold. Wider than the grammar (`/`, `@`, `=` and high bytes occur in
/// real tags and branches), but nothing that could end the value.
pub const VALUE: u8 = 4;
/// What a URI may hold. High bytes are kept; anything that delimits a header value is not.
pub const URI: u8 = 8;
/// Letters, digits, `-`, `.` and the `_` that some networks use in names.
pub const HOST: u8 = 16;
pub const HEX: u8 = 32;
/// Any visible byte: what a Call-ID may hold.
pub const VISIBLE: u8 = 64;

pub const fn classify(b: u8) -> u8 {
    let mut bits = 0;
    if b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
    {
        bits |= TOKEN;
    }
    if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
        bits |= SPACE;
    }
    if b > 0x20 && b != 0x7f {
        bits |= VISIBLE;
        if !matches!(b, b'"' | b',' | b';' | b'<' | b'>' | b'\\') {
            bits |= VALUE;
        }
        if !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            bits |= URI;
        }
    }
    if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
        bits |= HOST;
    }
    if b.is_ascii_hexdigit() {
        bits |= HEX;
    }
    bits
}

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = classify(b as u8);
        b += 1;
    }
    table
};

/// Whether `b` is of any of the classes in `bits`.
#[inline(always)]
pub fn is(b: u8, bits: u8) -> bool {
    count(1);
    CLASS[b as usize] & bits != 0
}

/// The first place of a byte.
#[inline(always)]
pub fn find(needle: u8, bytes: &[u8]) -> Option<usize> {
    let found = memchr::memchr(needle, bytes);
    count(found.unwrap_or(bytes.len()));
    found
}

/// How many bytes have been looked at: tests hold it to a multiple of the input, whatever the input.
#[cfg(test)]
pub mod looked {
    use std::cell::Cell;

    thread_local! {
        pub static AT: Cell<usize> = const { Cell::new(0) };
    }
}

#[inline(always)]
pub fn count(_bytes: usize) {
    #[cfg(test)]
    looked::AT.set(looked::AT.get() + _bytes);
}

/// Whether `bytes` is not empty and only digits.
pub fn digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// How many bytes at the start are of the class, which is one bit. Four at a time: most of all reading is this loop.
#[inline(always)]
pub fn run(bytes: &[u8], bit: u8) -> usize {
    let (fours, _) = bytes.as_chunks::<4>();
    let mut len = 0;
    for &[a, b, c, d] in fours {
        let common = CLASS[a as usize] & CLASS[b as usize] & CLASS[c as usize] & CLASS[d as usize];
        if common & bit == 0 {
            break;
        }
        len += 4;
        count(4);
    }
    while let Some(&b) = bytes.get(len)
        && is(b, bit)
    {
        len += 1;
    }
    len
}

/// Whether `bytes` is not empty and every byte is of the class.
pub fn all(bytes: &[u8], bit: u8) -> bool {
    !bytes.is_empty() && run(bytes, bit) == bytes.len()
}

/// `bytes[from..to]`, empty where that does not exist.
#[inline(always)]
pub fn cut(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

/// Without white space (folds included) at both ends.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest
        && is(*first, SPACE)
    {
        rest = tail;
    }
    while let [head @ .., last] = rest
        && is(*last, SPACE)
    {
        rest = head;
    }
    rest
}

/// A decimal number; above `u32::MAX` it stays there, so nothing wraps. `None` when it is not all digits.
pub fn number(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    let mut n: u32 = 0;
    count(bytes.len());
    for &b in bytes {
        if !b.is_ascii_digit() {
            return None;
        }
        n = n.saturating_mul(10).saturating_add(u32::from(b - b'0'));
    }
    Some(n)
}

/// Appends a decimal number without the formatting machinery.
pub fn push_number(out: &mut Vec<u8>, mut n: u32) {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(cut(&digits, at, 10));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_wrap() {
        assert_eq!(number(b"0068"), Some(68));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(number(b"4294967300"), Some(u32::MAX));
        for bad in [&b""[..], b"-1", b"+5", b"0x10", b"5 5"] {
            assert_eq!(number(bad), None);
        }
        for n in [0, 7, 10, 65_535, u32::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, n);
            assert_eq!(number(&out), Some(n));
        }
    }

    #[test]
    fn runs_end_where_the_class_ends() {
        for length in 0..12 {
            for stop in 0..12 {
                let mut text = vec![b'7'; length];
                if let Some(b) = text.get_mut(stop) {
                    *b = b'x';
                }
                assert_eq!(run(&text, HEX), stop.min(length), "{length} {stop}");
            }
        }
    }

    #[test]
    fn trimming_takes_folds() {
        assert_eq!(trim(b"\r\n  a b\r\n "), b"a b");
        assert_eq!(trim(b" \t"), b"");
    }
}
