//! The direct re-scoring of a run: every schedule of its table, without the profiles.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::findings::{VARIANCES, yes};
use crate::results::{mean_total, read};

/// The strides that are re-scored, as the table calls them.
pub(crate) const STRIDES: [&str; 4] = ["even", "quadratic", "dp", "dp-free"];

/// Which schedules were re-scored, on what, and where the results lie.
pub(crate) struct Rescoring<'a> {
    /// The folder of the run.
    pub(crate) folder: PathBuf,
    /// Test images.
    pub(crate) images: u64,
    /// Whether they stand in for CIFAR-10.
    pub(crate) stand_in: bool,
    /// Numbers of steps of every variance.
    pub(crate) budgets: Vec<&'a str>,
    /// Those of the paper's own variance alone: beyond 64 steps the strides come so close that a few images do not tell them apart.
    pub(crate) long_budgets: Vec<&'a str>,
}

/// The paper's own.
const PAPER: &str = VARIANCES[0];

impl<'a> Rescoring<'a> {
    /// The numbers of steps that are re-scored of a variance.
    pub(crate) fn budgets_of(&self, variance: &str) -> impl Iterator<Item = &'a str> {
        let long = if variance == PAPER {
            &self.long_budgets[..]
        } else {
            &[]
        };
        let all: Vec<&str> = self.budgets.iter().chain(long).copied().collect();
        all.into_iter()
    }

    /// Network evaluations of all of it.
    pub(crate) fn evaluations(&self) -> u64 {
        let steps = VARIANCES
            .iter()
            .flat_map(|variance| self.budgets_of(variance));
        let steps: u64 = steps.filter_map(|steps| steps.parse::<u64>().ok()).sum();
        self.images * STRIDES.len() as u64 * steps
    }

    /// Where the result of one schedule goes.
    pub(crate) fn file(&self, variance: &str, stride: &str, steps: &str) -> PathBuf {
        self.folder
            .join(format!("{variance}.{stride}.{steps}.bpd.json"))
    }

    /// The images, for a sentence.
    pub(crate) fn what(&self) -> String {
        let images = match self.images {
            1 => "the first test image".to_owned(),
            n => format!("the first {n} test images"),
        };
        if self.stand_in {
            images + " of a STAND-IN, not real data"
        } else {
            images
        }
    }

    /// The table of all results.
    ///
    /// # Errors
    /// A result that is missing or is no evaluation.
    pub(crate) fn table(&self) -> anyhow::Result<String> {
        let mut text = format!(
            "Every schedule of the table re-scored without the profiles: bits/dim with prior, mean over {}\n\n",
            self.what()
        );
        write!(text, "{:<18} {:<10}", "variance", "stride")?;
        for steps in self.budgets_of(PAPER) {
            write!(text, "{:>9}", format!("K={steps}"))?;
        }
        text.push('\n');
        for variance in VARIANCES {
            for stride in STRIDES {
                write!(text, "{variance:<18} {stride:<10}")?;
                for steps in self.budgets_of(variance) {
                    let mean = mean_of_file(&self.file(variance, stride, steps), self.images)?;
                    write!(text, "{mean:>9.3}")?;
                }
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Says whether the optimal schedules stay ahead, and returns it.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub(crate) fn print_findings(&self) -> anyhow::Result<bool> {
        let mut below = true;
        for variance in VARIANCES {
            for &steps in &self.budgets {
                let of = |stride| mean_of_file(&self.file(variance, stride, steps), self.images);
                let dp = of("dp")?;
                below &= dp < of("even")? && dp < of("quadratic")?;
            }
        }
        println!(
            "  re-scored directly on {}, DP below even and quadratic at every K <= 64: {}",
            self.what(),
            yes(below)
        );
        Ok(below)
    }
}

/// Mean bits/dim over the images of a direct evaluation that lies in a file.
fn mean_of_file(path: &Path, images: u64) -> anyhow::Result<f64> {
    mean_total(&read(path)?, images).map_err(|error| anyhow!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Writes an evaluation of a path of one step.
    fn write(file: &Path, totals: Vec<f64>) {
        let scored = json!({
            "T": 4, "noise_schedule": "cosine", "path": [0, 4],
            "variance": "learned", "decoder": "respaced", "scored_decoder": "marginal",
            "clip_denoised": true, "precision": "f32", "data_name": "x", "stand_in": false,
            "images": [], "terms": [], "prior_bpd": [], "total_bpd": totals,
        });
        std::fs::write(file, scored.to_string()).unwrap();
    }

    /// A run whose every schedule has the bits/dim that `of` gives it.
    fn run(folder: &Path, of: impl Fn(&str, &str) -> f64) -> Rescoring<'static> {
        let rescoring = Rescoring {
            folder: folder.to_owned(),
            images: 2,
            stand_in: false,
            budgets: vec!["8", "16"],
            long_budgets: vec!["128"],
        };
        for variance in VARIANCES {
            for stride in STRIDES {
                for steps in rescoring.budgets_of(variance) {
                    let bpd = of(stride, steps);
                    let totals = vec![bpd - 0.5, bpd + 0.5];
                    write(&rescoring.file(variance, stride, steps), totals);
                }
            }
        }
        rescoring
    }

    #[test]
    fn the_table_has_every_schedule_and_says_on_what() {
        let folder = tempfile::tempdir().unwrap();
        let rescoring = run(folder.path(), |stride, _| match stride {
            "dp" => 4.25,
            _ => 5.0,
        });
        let table = rescoring.table().unwrap();
        assert!(table.contains("the first 2 test images\n"), "{table}");
        let rescoring = Rescoring {
            stand_in: true,
            ..rescoring
        };
        assert!(
            rescoring
                .table()
                .unwrap()
                .contains("STAND-IN, not real data\n")
        );
        let dp = table
            .lines()
            .filter(|line| line.contains(" dp "))
            .map(|line| line.matches("4.250").count());
        // The paper's own variance has the long budget too.
        assert_eq!(dp.collect::<Vec<_>>(), [3, 2, 2, 2, 2, 2, 2], "{table}");
        // 2 images, 4 strides: 24 steps of each variance, 128 more of the paper's own.
        assert_eq!(rescoring.evaluations(), 2 * 4 * (7 * 24 + 128));
        let file = rescoring.file("learned", "even", "8");
        write(&file, vec![4.0]);
        let error = rescoring.table().unwrap_err().to_string();
        assert!(
            error.contains("learned.even.8") && error.contains("2 numbers"),
            "{error}"
        );
    }

    #[test]
    fn an_optimum_that_loses_is_noticed_at_few_steps() {
        for (loses_at, holds) in [("8", false), ("128", true), ("none", true)] {
            let folder = tempfile::tempdir().unwrap();
            let rescoring = run(folder.path(), |stride, steps| match stride {
                "quadratic" => 4.5,
                "dp" if steps == loses_at => 4.6,
                "dp" => 4.25,
                _ => 5.0,
            });
            assert_eq!(rescoring.print_findings().unwrap(), holds, "{loses_at}");
        }
    }
}
