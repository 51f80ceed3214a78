//! What a phone says into a call: a tone, a file, what it hears, and whether what it hears is more than silence.

use std::rc::Rc;

use media::codec::FRAME;
use media::tone::Sine;
pub use media::tone::share;

/// The tone of a phone that has nothing else to say.
pub const TONE_HZ: f64 = 440.0;
/// A quarter of full scale: -12 dBFS, as loud as people speak.
const AMPLITUDE: f64 = 0.25;
/// A frame louder than this is sound: -50 dBFS.
const SOUND_RMS: f64 = 103.0;

pub type Frame = [i16; FRAME];

#[derive(Clone, Debug)]
pub enum Sound {
    Tone(Sine),
    /// Once, then silence.
    File {
        samples: Rc<[i16]>,
        at: usize,
    },
    /// What was heard last.
    Echo,
}

impl Sound {
    pub fn tone(hz: f64) -> Self {
        Self::Tone(Sine::new(hz, AMPLITUDE))
    }

    /// The next 20 ms.
    pub fn fill(&mut self, heard: &Frame, out: &mut Frame) {
        match self {
            Self::Tone(sine) => sine.fill(out),
            Self::File { samples, at } => {
                let rest = samples.get(*at..).unwrap_or_default();
                let n = rest.len().min(FRAME);
                out.fill(0);
                for (out, sample) in out.iter_mut().zip(rest) {
                    *out = *sample;
                }
                *at += n;
            }
            Self::Echo => *out = *heard,
        }
    }
}

/// Whether a frame is more than silence.
pub fn is_sound(frame: &Frame) -> bool {
    let energy: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
    (energy / FRAME as f64).sqrt() > SOUND_RMS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_in_silence() {
        let mut sound = Sound::File { samples: vec![7; FRAME + 10].into(), at: 0 };
        let (heard, mut out) = ([1; FRAME], [9; FRAME]);
        sound.fill(&heard, &mut out);
        assert_eq!(out, [7; FRAME]);
        sound.fill(&heard, &mut out);
        assert_eq!((out[9], out[10]), (7, 0));
        sound.fill(&heard, &mut out);
        assert_eq!(out, [0; FRAME]);
        Sound::Echo.fill(&heard, &mut out);
        assert_eq!(out, heard);
    }

    #[test]
    fn a_tone_is_sound_and_a_whisper_of_noise_is_not() {
        let mut out = [0; FRAME];
        assert!(!is_sound(&out));
        Sound::tone(TONE_HZ).fill(&[0; FRAME], &mut out);
        assert!(is_sound(&out));
        // What A-law makes of silence.
        assert!(!is_sound(&[8; FRAME]));
    }
}
