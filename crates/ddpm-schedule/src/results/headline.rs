//! A run on a card: the paper's claim and what was found, in five lines.

use ddpm_core::{DecoderKind, VarianceKind};
use serde::{Deserialize, Serialize};

use super::{Measured, with_error};

/// What a run has found of the paper's claim, as `ddpm report` shows it first and writes it to `card.json` beside its page.
///
/// Paths are chosen on train images and scored on others; every difference is paired over blocks of these images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// The image set of the scores.
    pub data_name: String,
    /// Whether it stands in for a set that could not be had.
    pub stand_in: bool,
    /// The number of its images.
    pub images: u64,
    /// T.
    pub train_steps: usize,
    /// The network's own variance.
    pub variance: VarianceKind,
    /// The decoder of all but [`beyond`](Self::beyond).
    pub decoder: DecoderKind,
    /// Bits/dim of all T timesteps.
    pub all: Measured,
    /// The paper's K, at most T.
    pub steps: usize,
    /// Bits/dim of the optimal schedule of so many steps.
    pub optimal: Measured,
    /// The same minus that of all timesteps.
    pub loss: Measured,
    /// The same minus that of as many quadratic steps.
    pub minus_quadratic: Measured,
    /// The same minus that of as many even steps.
    pub minus_even: Measured,
    /// The longest schedule that was looked at for the fewest.
    pub most: usize,
    /// The fewest optimal steps that lose less than [`WITHIN`](Self::WITHIN).
    pub fewest: Option<Fewest>,
    /// What calibrated kernels need for it, where the profiles have them.
    pub beyond: Option<Beyond>,
}

/// The fewest steps that lose little.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fewest {
    /// K.
    pub steps: usize,
    /// Bits/dim that they lose.
    pub loss: Measured,
}

/// Calibrated kernels, compared with all timesteps of the network's own variance under one decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beyond {
    /// Variance and mean in a few words.
    pub kernel: String,
    /// The decoder of both.
    pub decoder: DecoderKind,
    /// The fewest of their steps.
    pub fewest: Option<Fewest>,
    /// The fewest steps of the network's own variance.
    pub own_steps: Option<usize>,
}

impl Headline {
    /// Bits/dim that a few steps may lose: the paper's measure, in its abstract.
    pub const WITHIN: f64 = 0.1;
    /// The K for which the paper claims that.
    pub const PAPER_STEPS: usize = 32;

    /// The card: the paper's claim, what was found of it in three lines, and where the page is.
    pub fn lines(&self, page: &str) -> [String; 5] {
        let (within, all) = (Self::WITHIN, self.train_steps);
        let stand_in = if self.stand_in {
            ", a STAND-IN, not real data"
        } else {
            ""
        };
        let fewest = match &self.fewest {
            Some(found) => format!(
                "{} optimal steps lose less than {within}: {}",
                found.steps,
                words(&found.loss)
            ),
            None => format!("{} optimal steps still lose more than {within}", self.most),
        };
        [
            format!(
                "Paper   {} optimal steps lose less than {within} bits/dim of all 4000 (ImageNet 64x64, arXiv 2106.03802)",
                Self::PAPER_STEPS
            ),
            format!(
                "Here    {} optimal steps lose {} bits/dim of all {all} ({} images of {}{stand_in}; {} variance, {} decoder)",
                self.steps,
                words(&self.loss),
                self.images,
                self.data_name,
                self.variance,
                self.decoder
            ),
            format!(
                "Fewest  {fewest}; {} optimal minus quadratic {}, minus even {}",
                self.steps,
                words(&self.minus_quadratic),
                words(&self.minus_even)
            ),
            format!("Beyond  {}", self.beyond_in_words()),
            format!("Page    {page}"),
        ]
    }

    fn beyond_in_words(&self) -> String {
        let Some(beyond) = &self.beyond else {
            return "calibrated kernels were not measured: these profiles have no bands".to_owned();
        };
        let (own, all) = (self.variance, self.train_steps);
        let found = match &beyond.fewest {
            Some(found) => format!(
                "{} steps of {} lose less than {} of all {all} {own} ones: {}",
                found.steps,
                beyond.kernel,
                Self::WITHIN,
                words(&found.loss)
            ),
            None => format!("{} needs more than {} steps", beyond.kernel, self.most),
        };
        let needs = match beyond.own_steps {
            Some(steps) => steps.to_string(),
            None => format!("more than {}", self.most),
        };
        format!("{found}; {own} needs {needs} ({} decoder)", beyond.decoder)
    }
}

fn words(measured: &Measured) -> String {
    with_error(measured.value, measured.standard_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64) -> Measured {
        Measured {
            value,
            standard_error: Some(0.004),
        }
    }

    fn example() -> Headline {
        Headline {
            data_name: "cifar10-test".to_owned(),
            stand_in: false,
            images: 128,
            train_steps: 4000,
            variance: VarianceKind::Learned,
            decoder: DecoderKind::Respaced,
            all: measured(3.644),
            steps: 32,
            optimal: measured(3.774),
            loss: measured(0.13),
            minus_quadratic: measured(-0.178),
            minus_even: measured(-1.235),
            most: 64,
            fewest: Some(Fewest {
                steps: 42,
                loss: measured(0.098),
            }),
            beyond: Some(Beyond {
                kernel: "spectral + mean".to_owned(),
                decoder: DecoderKind::Optimal,
                fewest: Some(Fewest {
                    steps: 16,
                    loss: measured(0.091),
                }),
                own_steps: Some(48),
            }),
        }
    }

    #[test]
    fn five_lines_say_the_claim_and_what_was_found() {
        let lines = example().lines("runs/r.html");
        for (line, words) in lines.iter().zip([
            "32 optimal steps lose less than 0.1 bits/dim of all 4000",
            "32 optimal steps lose 0.1300 ± 0.0040 bits/dim of all 4000 (128 images of cifar10-test; learned variance, respaced decoder)",
            "42 optimal steps lose less than 0.1: 0.0980 ± 0.0040; 32 optimal minus quadratic -0.1780 ± 0.0040, minus even -1.2350 ± 0.0040",
            "16 steps of spectral + mean lose less than 0.1 of all 4000 learned ones: 0.0910 ± 0.0040; learned needs 48 (optimal decoder)",
            "runs/r.html",
        ]) {
            assert!(line.contains(words), "{line}");
        }
        let little = Headline {
            fewest: None,
            beyond: None,
            stand_in: true,
            ..example()
        };
        let text = little.lines("p").join("\n");
        for words in ["64 optimal steps still lose more", "no bands", "STAND-IN"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let text = serde_json::to_string(&example()).unwrap();
        let read: Headline = serde_json::from_str(&text).unwrap();
        assert_eq!(read, example());
    }
}
