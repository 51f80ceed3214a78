//! A sine made and a sine found: how a test or a caller knows that audio came through, without ears.

use std::f64::consts::TAU;

use crate::codec::CLOCK_RATE;

/// Samples of one measurement: 50 ms. Two pitches more than 20 Hz apart are told apart.
const BLOCK: usize = 400;

/// An endless sine.
#[derive(Clone, Debug)]
pub struct Sine {
    phase: f64,
    step: f64,
    amplitude: f64,
}

impl Sine {
    /// `amplitude` as a share of full scale, 0 to 1.
    pub fn new(hz: f64, amplitude: f64) -> Self {
        let amplitude = amplitude.clamp(0.0, 1.0) * f64::from(i16::MAX);
        Self { phase: 0.0, step: hz / f64::from(CLOCK_RATE), amplitude }
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (self.amplitude * (self.phase * TAU).sin()).round() as i16;
            self.phase = (self.phase + self.step).fract();
        }
    }
}

/// Measures which share of the energy is at one pitch (Goertzel's algorithm, in blocks, so that gaps and jumps of phase
/// spoil only the block they fall into).
#[derive(Clone, Debug)]
pub struct Detector {
    coefficient: f64,
    s1: f64,
    s2: f64,
    block_energy: f64,
    in_block: usize,
    at_pitch: f64,
    energy: f64,
    blocks: u64,
}

impl Detector {
    pub fn new(hz: f64) -> Self {
        Self {
            coefficient: 2.0 * (TAU * hz / f64::from(CLOCK_RATE)).cos(),
            s1: 0.0,
            s2: 0.0,
            block_energy: 0.0,
            in_block: 0,
            at_pitch: 0.0,
            energy: 0.0,
            blocks: 0,
        }
    }

    pub fn push(&mut self, samples: &[i16]) {
        for sample in samples {
            let x = f64::from(*sample);
            let s0 = x + self.coefficient * self.s1 - self.s2;
            self.s2 = self.s1;
            self.s1 = s0;
            self.block_energy += x * x;
            self.in_block += 1;
            if self.in_block == BLOCK {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        let power = self.s1 * self.s1 + self.s2 * self.s2 - self.coefficient * self.s1 * self.s2;
        // A pure sine has |X|^2 = N/2 times its energy.
        self.at_pitch += (power * 2.0 / BLOCK as f64).min(self.block_energy);
        self.energy += self.block_energy;
        self.blocks += 1;
        (self.s1, self.s2, self.block_energy, self.in_block) = (0.0, 0.0, 0.0, 0);
    }

    /// The share of the energy at the pitch, 0 to 1, over all whole blocks of 50 ms; 0 for silence.
    pub fn share(&self) -> f64 {
        if self.energy > 0.0 { self.at_pitch / self.energy } else { 0.0 }
    }

    /// The root mean square of the samples as a share of full scale; a full sine has 0.707.
    pub fn level(&self) -> f64 {
        if self.blocks == 0 {
            return 0.0;
        }
        (self.energy / (self.blocks as f64 * BLOCK as f64)).sqrt() / f64::from(i16::MAX)
    }
}

/// The share of the energy of `samples` at `hz`.
pub fn share(samples: &[i16], hz: f64) -> f64 {
    let mut detector = Detector::new(hz);
    detector.push(samples);
    detector.share()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    fn second(hz: f64) -> Vec<i16> {
        let mut samples = vec![0; 8000];
        Sine::new(hz, 0.5).fill(&mut samples);
        samples
    }

    #[test]
    fn a_sine_is_found_at_its_pitch_only() {
        for hz in [100.0, 425.0, 440.0, 1000.0, 1004.0, 2713.0, 3400.0] {
            let samples = second(hz);
            assert!(share(&samples, hz) > 0.99, "{hz}: {}", share(&samples, hz));
            for other in [hz - 60.0, hz + 60.0, hz * 1.5] {
                assert!(share(&samples, other) < 0.1, "{hz} at {other}");
            }
        }
    }

    #[test]
    fn it_survives_g711_and_drowns_in_another() {
        for codec in Codec::ALL {
            let mut bytes = Vec::new();
            codec.encode(&second(1000.0), &mut bytes);
            let mut back = vec![0; 8000];
            codec.decode(&bytes, &mut back);
            assert!(share(&back, 1000.0) > 0.99, "{codec}");
        }
        let (one, two) = (second(1000.0), second(500.0));
        let both: Vec<i16> = one.iter().zip(&two).map(|(a, b)| a / 2 + b / 2).collect();
        assert!((share(&both, 1000.0) - 0.5).abs() < 0.01);
    }

    #[test]
    fn silence_and_noise_are_no_tone() {
        assert_eq!(share(&[0; 8000], 1000.0), 0.0);
        assert_eq!(share(&[], 1000.0), 0.0);
        let mut state = 1u32;
        let noise: Vec<i16> = (0..8000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u16 as i16
            })
            .collect();
        assert!(share(&noise, 1000.0) < 0.05);
    }

    #[test]
    fn the_level() {
        let mut detector = Detector::new(1000.0);
        assert_eq!(detector.level(), 0.0);
        detector.push(&second(1000.0));
        assert!((detector.level() - 0.5 / 2f64.sqrt()).abs() < 0.001);
    }
}
