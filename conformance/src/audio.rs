//! Sound that can be told apart: tones of one pitch written to files, and how long a pitch is heard in a recording. Everything is
//! mono, 8 kHz, 16 bit. It measures what was recorded, never when.

use std::f64::consts::PI;
use std::path::Path;

const RATE: u32 = 8000;
/// Samples that are judged at a time: 100 ms.
const WINDOW: usize = 800;
/// So many windows without the pitch are a pause.
const PAUSE_WINDOWS: u32 = 4;
/// The share of a window that is of one pitch when nothing else is to be heard. Half is far from anything by chance.
const SHARE: f64 = 0.5;
/// Below this mean square there is silence and the noise of G.711.
const SILENCE: f64 = 10_000.0;

/// A tone as a WAV file.
pub fn sine(hertz: u32, seconds: u32) -> Vec<u8> {
    let samples = RATE * seconds;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + samples * 2).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    // PCM, one channel.
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((RATE * 2).to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(16u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((samples * 2).to_le_bytes());
    for n in 0..samples {
        let angle = 2.0 * PI * f64::from(hertz) * f64::from(n) / f64::from(RATE);
        bytes.extend(((angle.sin() * 8000.0) as i16).to_le_bytes());
    }
    bytes
}

/// How many milliseconds of a WAV file are a clear tone of this pitch. A file that is not there has none.
pub fn heard_ms(recording: &Path, hertz: u32) -> u32 {
    let bytes = std::fs::read(recording).unwrap_or_default();
    let samples = samples(&bytes);
    let windows = samples.chunks_exact(WINDOW).filter(|window| is_tone(window, hertz));
    windows.count() as u32 * 100
}

/// How often the pitch begins again in a WAV file after it was away for longer than a bad network makes it: what is heard before a
/// hold and after it.
pub fn bursts(recording: &Path, hertz: u32) -> u32 {
    let bytes = std::fs::read(recording).unwrap_or_default();
    let (mut found, mut away) = (0, PAUSE_WINDOWS);
    for window in samples(&bytes).chunks_exact(WINDOW) {
        if !is_tone(window, hertz) {
            away += 1;
            continue;
        }
        if away >= PAUSE_WINDOWS {
            found += 1;
        }
        away = 0;
    }
    found
}

/// What follows the header of the samples. Its length is not believed: the file may still be written.
fn samples(wav: &[u8]) -> Vec<f64> {
    let data = wav.windows(4).position(|w| w == b"data").map_or(wav.len(), |at| at + 8);
    let pairs = wav.get(data..).unwrap_or_default().chunks_exact(2);
    pairs.map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect()
}

/// Goertzel's filter.
fn is_tone(window: &[f64], hertz: u32) -> bool {
    let energy: f64 = window.iter().map(|s| s * s).sum();
    let length = window.len() as f64;
    if energy < SILENCE * length {
        return false;
    }
    let coefficient = 2.0 * (2.0 * PI * f64::from(hertz) / f64::from(RATE)).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in window {
        (before, last) = (last, sample + coefficient * last - before);
    }
    let power = before * before + last * last - coefficient * before * last;
    2.0 * power / (energy * length) > SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_and_no_other() {
        let wav = sine(440, 1);
        let samples = samples(&wav);
        let count = |hertz| samples.chunks_exact(WINDOW).filter(|w| is_tone(w, hertz)).count();
        assert_eq!((samples.len(), count(440), count(1000), count(460)), (8000, 10, 0, 0));
        assert!(!is_tone(&[0.0; WINDOW], 440));
    }

    #[test]
    fn a_pause_is_long() {
        let file = std::env::temp_dir().join(format!("ringway-bursts-{}.wav", std::process::id()));
        let (tone, pause) = (sine(440, 1), [0; 2 * WINDOW]);
        for (windows, found) in [(PAUSE_WINDOWS - 1, 1), (PAUSE_WINDOWS, 2)] {
            let silence = pause.repeat(windows as usize);
            std::fs::write(&file, [&tone[..], &silence, &tone[44..]].concat()).unwrap();
            assert_eq!(bursts(&file, 440), found, "{windows} windows");
        }
        std::fs::remove_file(&file).unwrap();
    }
}
