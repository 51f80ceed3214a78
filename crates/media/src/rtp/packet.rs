//! One RTP packet (RFC 3550 §5.1, §5.3.1), borrowed from its datagram. It checks lengths and interprets no payload.

/// Bytes of the header without CSRCs and extension.
pub const HEADER: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// The contributing sources, four bytes each, at most 15.
    pub csrc: &'a [u8],
    pub extension: Option<Extension<'a>>,
    pub payload: &'a [u8],
    /// Bytes of padding behind the payload, its count included; 0: none.
    pub padding: u8,
}

/// RFC 3550 §5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    pub profile: u16,
    /// A multiple of four bytes.
    pub bytes: &'a [u8],
}

/// Why a datagram is no RTP packet (RFC 3550 §A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("shorter than an RTP header")]
    Short,
    #[error("not RTP version 2")]
    Version,
    #[error("the list of CSRCs is cut off")]
    Csrc,
    #[error("the header extension is cut off")]
    Extension,
    #[error("the padding is empty or longer than the payload")]
    Padding,
}

impl<'a> Packet<'a> {
    pub const fn new(
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
    ) -> Packet<'static> {
        Packet {
            marker: false,
            payload_type,
            sequence,
            timestamp,
            ssrc,
            csrc: &[],
            extension: None,
            payload: &[],
            padding: 0,
        }
    }

    /// # Errors
    /// The datagram is no RTP packet.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = datagram.split_first_chunk::<HEADER>().ok_or(Malformed::Short)?;
        let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
        if first >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let csrc_length = usize::from(first & 0x0f) * 4;
        let (csrc, rest) = rest.split_at_checked(csrc_length).ok_or(Malformed::Csrc)?;
        let (extension, rest) = if first & 0x10 == 0 {
            (None, rest)
        } else {
            let (extension, rest) = Extension::parse(rest).ok_or(Malformed::Extension)?;
            (Some(extension), rest)
        };
        let padding = match (first & 0x20 != 0, rest.last()) {
            (false, _) => 0,
            (true, Some(&count)) if count > 0 => count,
            (true, _) => return Err(Malformed::Padding),
        };
        let end = rest.len().checked_sub(usize::from(padding)).ok_or(Malformed::Padding)?;
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            csrc,
            extension,
            payload: rest.get(..end).unwrap_or_default(),
            padding,
        })
    }

    /// Appends the packet. CSRCs and extension bytes beyond whole words, or more than the fields can count, are left
    /// out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let csrc_count = (self.csrc.len() / 4).min(15);
        let csrc = self.csrc.get(..csrc_count * 4).unwrap_or_default();
        let flags = if self.padding > 0 { 0x20 } else { 0 }
            | if self.extension.is_some() { 0x10 } else { 0 }
            | csrc_count as u8;
        out.push(0x80 | flags);
        out.push(if self.marker { 0x80 } else { 0 } | (self.payload_type & 0x7f));
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(csrc);
        if let Some(extension) = self.extension {
            let words = (extension.bytes.len() / 4).min(usize::from(u16::MAX));
            out.extend_from_slice(&extension.profile.to_be_bytes());
            out.extend_from_slice(&(words as u16).to_be_bytes());
            out.extend_from_slice(extension.bytes.get(..words * 4).unwrap_or_default());
        }
        out.extend_from_slice(self.payload);
        if self.padding > 0 {
            let zeros = out.len() + usize::from(self.padding) - 1;
            out.resize(zeros, 0);
            out.push(self.padding);
        }
    }
}

impl<'a> Extension<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([p0, p1, l0, l1], rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([*l0, *l1])) * 4;
        let (bytes, rest) = rest.split_at_checked(length)?;
        Some((Self { profile: u16::from_be_bytes([*p0, *p1]), bytes }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Packet<'static> {
        Packet {
            marker: true,
            csrc: &[0, 0, 0, 1, 0, 0, 0, 2],
            extension: Some(Extension { profile: 0xbede, bytes: &[1, 2, 3, 4] }),
            payload: &[9, 8, 7],
            padding: 5,
            ..Packet::new(8, 0xfffe, 0x0102_0304, 0xdead_beef)
        }
    }

    #[test]
    fn every_field_in_its_place() {
        let mut out = Vec::new();
        full().write(&mut out);
        let want = [
            0xb2, 0x88, 0xff, 0xfe, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef, // header
            0, 0, 0, 1, 0, 0, 0, 2, // CSRC
            0xbe, 0xde, 0, 1, 1, 2, 3, 4, // extension
            9, 8, 7, 0, 0, 0, 0, 5, // payload and padding
        ];
        assert_eq!(out, want);
        assert_eq!(Packet::parse(&out), Ok(full()));
    }

    /// Each cut of a packet whose every part has a length is refused or shorter, and says what is cut.
    #[test]
    fn what_is_cut_off() {
        let mut bytes = Vec::new();
        full().write(&mut bytes);
        for length in 0..12 {
            assert_eq!(Packet::parse(&bytes[..length]), Err(Malformed::Short));
        }
        for length in 12..20 {
            assert_eq!(Packet::parse(&bytes[..length]), Err(Malformed::Csrc));
        }
        for length in 20..28 {
            assert_eq!(Packet::parse(&bytes[..length]), Err(Malformed::Extension));
        }
        // Without its last byte the padding counts 0; no payload at all has no padding either.
        assert_eq!(Packet::parse(&bytes[..bytes.len() - 1]), Err(Malformed::Padding));
        assert_eq!(Packet::parse(&bytes[..28]), Err(Malformed::Padding));
        bytes[0] = 0x40;
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Version));
        let long = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 200];
        assert_eq!(Packet::parse(&long), Err(Malformed::Padding));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let mut out = Vec::new();
                packet.write(&mut out);
                prop_assert_eq!(Packet::parse(&out), Ok(packet));
                prop_assert_eq!(out.len(), bytes.len());
            }
        }
    }
}
