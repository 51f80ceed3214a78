//! Bytes as letters that survive a Via: base 32 in one case, read in either, because a peer may change it
//! (RFC 3261 §7.3.1). Whole groups of five bytes and eight letters only; it pads nothing.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Value of each character, 0xff for none.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut i = 0;
    while i < 32 {
        values[ALPHABET[i] as usize] = i as u8;
        values[ALPHABET[i].to_ascii_uppercase() as usize] = i as u8;
        i += 1;
    }
    values
};

/// Writes `bytes` as letters; what does not fill a group of either side is left out.
#[inline]
pub fn encode(bytes: &[u8], text: &mut [u8]) {
    for (group, letters) in bytes.chunks_exact(5).zip(text.chunks_exact_mut(8)) {
        let bits = group.iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        for (place, letter) in letters.iter_mut().enumerate() {
            // Masked to the alphabet's 32.
            *letter = ALPHABET[(bits >> (35 - 5 * place)) as usize & 31];
        }
    }
}

/// The reverse; `None` if anything else than those letters is in `text`.
#[inline]
pub fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    for (letters, group) in text.chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
        let mut bits = 0u64;
        let mut bad = 0;
        for &letter in letters {
            let value = VALUES[usize::from(letter)];
            bad |= value;
            bits = bits << 5 | u64::from(value & 31);
        }
        if bad & 0xe0 != 0 {
            return None;
        }
        group.copy_from_slice(bits.to_be_bytes().get(3..)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_in_either_case() {
        let bytes: [u8; 10] = [0, 255, 1, 128, 77, 9, 8, 7, 6, 5];
        let (mut text, mut back) = ([0; 16], [0; 10]);
        encode(&bytes, &mut text);
        assert_eq!(decode(&text, &mut back), Some(()));
        assert_eq!(back, bytes);
        back = [0; 10];
        assert_eq!(decode(&text.to_ascii_uppercase(), &mut back), Some(()));
        assert_eq!(back, bytes);
        text[3] = b'!';
        assert_eq!(decode(&text, &mut back), None);
    }
}
