//! Numbers as lower-case hexadecimal digits, without the formatting machinery. It reads only what it writes.

/// `out` must be twice as long as `bytes`; what does not fit is left out.
pub fn write(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The same behind what `out` holds.
pub fn push(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), b'0');
    write(bytes, out.get_mut(start..).unwrap_or_default());
}

/// Up to 16 lower-case digits, as we write them; anything else is not ours.
pub fn read(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

/// Twice as many digits as `bytes` is long, all of them.
pub fn read_bytes(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(bytes) {
        *byte = u8::try_from(read(pair)?).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = b"x".to_vec();
        push(&[0, 0x1f, 0xff], &mut out);
        assert_eq!(out, b"x001fff");
        assert_eq!(read(b"1fff"), Some(0x1fff));
        let mut bytes = [0; 3];
        assert_eq!(read_bytes(&out[1..], &mut bytes), Some(()));
        assert_eq!(bytes, [0, 0x1f, 0xff]);
    }

    #[test]
    fn what_is_not_ours() {
        for text in [&b"1F"[..], b"g", b"-1", b" 1"] {
            assert_eq!(read(text), None);
        }
        let mut bytes = [0; 2];
        for text in [&b"00"[..], b"00000", b"00zz", b""] {
            assert_eq!(read_bytes(text, &mut bytes), None);
        }
    }
}
