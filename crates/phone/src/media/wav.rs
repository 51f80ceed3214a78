//! WAV files in and out: any rate, any width, any number of channels becomes 8000 samples a second, mono, 16 bit, and
//! what was heard is written as that. It plays nothing and records nothing by itself.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

pub const RATE: u32 = 8000;
/// Half an hour; a longer file is somebody's mistake and would not fit in anybody's call.
const SECONDS_MAX: u32 = 1800;
/// Taps of the low-pass on each side, in periods of the lower of the two rates.
const TAPS: f64 = 16.0;

#[derive(Debug, thiserror::Error)]
pub enum WavError {
    #[error("{0}")]
    Wav(#[from] hound::Error),
    #[error("it has no samples")]
    Empty,
    #[error("it is longer than {SECONDS_MAX} s")]
    TooLong,
    #[error("a rate of {0} Hz is no sound")]
    Rate(u32),
}

/// The whole file, as a telephone has it.
pub fn read(path: &Path) -> Result<Vec<i16>, WavError> {
    let mut reader = WavReader::open(path)?;
    let spec = reader.spec();
    if !(1000..=768_000).contains(&spec.sample_rate) || spec.channels == 0 {
        return Err(WavError::Rate(spec.sample_rate));
    }
    if reader.duration() / spec.sample_rate >= SECONDS_MAX {
        return Err(WavError::TooLong);
    }
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let full = (1_i64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
            let scaled = reader.samples::<i32>().map(|s| s.map(|s| s as f32 / full));
            scaled.collect::<Result<_, _>>()?
        }
    };
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> = samples
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();
    if mono.is_empty() {
        return Err(WavError::Empty);
    }
    // `as` cuts at the ends.
    let sample = |s: f32| (s * 32_768.0).round() as i16;
    Ok(resample(&mono, spec.sample_rate).into_iter().map(sample).collect())
}

/// To 8000 Hz with a windowed sinc, so that what a telephone cannot carry does not fold back into what it can.
fn resample(input: &[f32], rate: u32) -> Vec<f32> {
    if rate == RATE {
        return input.to_vec();
    }
    let step = f64::from(rate) / f64::from(RATE);
    // Relative to the input's rate: below half of the lower rate.
    let cutoff = (1.0 / step).min(1.0);
    let reach = TAPS / cutoff;
    let count = (input.len() as f64 / step).ceil() as usize;
    (0..count)
        .map(|n| {
            let centre = n as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor() as usize).min(input.len() - 1);
            let (mut sum, mut weight) = (0.0, 0.0);
            for (index, sample) in input.iter().enumerate().take(last + 1).skip(first) {
                let x = index as f64 - centre;
                let w = sinc(x * cutoff) * (0.5 + 0.5 * (std::f64::consts::PI * x / reach).cos());
                sum += w * f64::from(*sample);
                weight += w;
            }
            // The weights sum to 1/cutoff inside, less at the ends.
            if weight.abs() > 1e-9 { (sum / weight) as f32 } else { 0.0 }
        })
        .collect()
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// A recording that grows frame by frame.
pub struct Recording(WavWriter<BufWriter<File>>);

impl Recording {
    pub fn create(path: &Path) -> Result<Self, WavError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        Ok(Self(WavWriter::create(path, spec)?))
    }

    pub fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        for sample in samples {
            self.0.write_sample(*sample)?;
        }
        Ok(())
    }

    /// Writes the lengths into the head; without this the file is not whole.
    pub fn finish(self) -> Result<(), WavError> {
        Ok(self.0.finalize()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frequency: f64, seconds: f64) -> Vec<f32> {
        let count = (f64::from(rate) * seconds) as usize;
        let at = |n: usize| {
            (std::f64::consts::TAU * frequency * n as f64 / f64::from(rate)).sin() as f32 * 0.5
        };
        (0..count).map(at).collect()
    }

    fn loudness(samples: &[f32]) -> f64 {
        let inner = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let sum: f64 = inner.iter().map(|s| f64::from(*s).powi(2)).sum();
        (sum / inner.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_stays_and_what_would_fold_back_goes() {
        for rate in [16_000, 22_050, 44_100, 48_000, 11_025, 4_000] {
            let heard = resample(&sine(rate, 1000.0, 0.5), rate);
            assert!((heard.len() as i64 - 4000).abs() <= 1, "{rate}: {}", heard.len());
            let want = sine(RATE, 1000.0, 0.5);
            let worst = heard.iter().zip(&want).skip(400).take(3200).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0_f32, f32::max);
            assert!(worst < 0.02, "{rate}: off by {worst}");
        }
        let folded = resample(&sine(48_000, 7000.0, 0.5), 48_000);
        assert!(loudness(&folded) < 0.005, "{}", loudness(&folded));
    }

    #[test]
    fn files_of_every_kind_are_read() {
        let folder = std::env::temp_dir().join(format!("ringway-wav-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.wav");
        for (bits, format, channels) in [
            (8, SampleFormat::Int, 1),
            (16, SampleFormat::Int, 2),
            (24, SampleFormat::Int, 1),
            (32, SampleFormat::Float, 2),
        ] {
            let spec = WavSpec {
                channels,
                sample_rate: 16_000,
                bits_per_sample: bits,
                sample_format: format,
            };
            let mut writer = WavWriter::create(&path, spec).unwrap();
            for s in sine(16_000, 440.0, 0.2) {
                for _ in 0..channels {
                    match format {
                        SampleFormat::Float => writer.write_sample(s).unwrap(),
                        SampleFormat::Int => {
                            let full = f64::from((1_u32 << (bits - 1)) - 1);
                            writer.write_sample((f64::from(s) * full) as i32).unwrap();
                        }
                    }
                }
            }
            writer.finalize().unwrap();
            let heard: Vec<f32> =
                read(&path).unwrap().into_iter().map(|s| f32::from(s) / 32_767.0).collect();
            assert_eq!(heard.len(), 1600);
            assert!((loudness(&heard) - 0.3535).abs() < 0.02, "{bits} bits: {}", loudness(&heard));
        }
        let mut recording = Recording::create(&path).unwrap();
        recording.write(&[1, -2, 3]).unwrap();
        recording.finish().unwrap();
        assert_eq!(read(&path).unwrap(), [1, -2, 3]);
        std::fs::write(&path, b"RIFFnothing").unwrap();
        assert!(read(&path).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
