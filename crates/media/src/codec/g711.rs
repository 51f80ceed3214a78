//! G.711 A-law and u-law. The arithmetic is that of the crate `audio-codec-algorithms` (tables and encoders checked
//! there against the ITU-T G.191 tools for every input); this file gives it the names and numbers RTP has for it.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

/// The codecs we speak: 8000 Hz, one channel, one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Pcmu,
    Pcma,
}

impl Codec {
    pub const ALL: [Self; 2] = [Self::Pcmu, Self::Pcma];

    /// The static payload type (RFC 3551 §6 table 4).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// The encoding name of `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// By encoding name; "case insensitive" (RFC 4855 §3).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name().eq_ignore_ascii_case(name))
    }

    /// By static payload type.
    pub fn of_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.payload_type() == payload_type)
    }

    pub fn encode_sample(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => encode_ulaw(sample),
            Self::Pcma => encode_alaw(sample),
        }
    }

    pub fn decode_sample(self, byte: u8) -> i16 {
        match self {
            Self::Pcmu => decode_ulaw(byte),
            Self::Pcma => decode_alaw(byte),
        }
    }

    /// Appends one byte for each sample.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        out.extend(samples.iter().map(|s| self.encode_sample(*s)));
    }

    /// Fills `out` from `bytes`; returns how many samples that were, the smaller of the two lengths.
    pub fn decode(self, bytes: &[u8], out: &mut [i16]) -> usize {
        for (sample, byte) in out.iter_mut().zip(bytes) {
            *sample = self.decode_sample(*byte);
        }
        out.len().min(bytes.len())
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711 tables 1a and 2a: the ends of the scales and silence.
    #[test]
    fn known_values() {
        assert_eq!(Codec::Pcmu.encode_sample(0), 0xff);
        assert_eq!(Codec::Pcmu.encode_sample(i16::MAX), 0x80);
        assert_eq!(Codec::Pcmu.encode_sample(i16::MIN), 0x00);
        assert_eq!(Codec::Pcmu.decode_sample(0x80), 32_124);
        assert_eq!(Codec::Pcma.encode_sample(0), 0xd5);
        assert_eq!(Codec::Pcma.encode_sample(i16::MAX), 0xaa);
        assert_eq!(Codec::Pcma.encode_sample(i16::MIN), 0x2a);
        assert_eq!(Codec::Pcma.decode_sample(0xaa), 32_256);
    }

    /// Decoding and encoding again changes no code, but for the two zeros of u-law.
    #[test]
    fn every_code_survives() {
        for codec in Codec::ALL {
            for byte in 0..=u8::MAX {
                let again = codec.encode_sample(codec.decode_sample(byte));
                let zero = codec == Codec::Pcmu && byte == 0x7f;
                assert_eq!(again, if zero { 0xff } else { byte }, "{codec} {byte:#x}");
            }
        }
    }

    /// A logarithmic law: the error is a share of the sample (at most half of 1/16, plus the smallest step).
    #[test]
    fn the_error_stays_in_proportion() {
        for codec in Codec::ALL {
            for sample in i16::MIN..=i16::MAX {
                let decoded = i32::from(codec.decode_sample(codec.encode_sample(sample)));
                let error = (decoded - i32::from(sample)).abs();
                let clipped = i32::from(sample).abs() > 32_124;
                assert!(error <= i32::from(sample).abs() / 32 + 16 || clipped, "{codec} {sample}");
            }
        }
    }
}
