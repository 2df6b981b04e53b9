//! The paper's Table 5 of a run, and what it shows.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use ddpm_schedule::results::{Fid, FidStatistics, ImageSet};
use serde::Serialize;

use crate::findings::yes;
use crate::results::read;
use crate::samples_size::{SAMPLERS, STRIDES, Size};
use crate::stage::write_beside;

/// Few steps, where the paper's optimal schedules of the ELBO are worse than even and quadratic ones.
const FEW: u64 = 16;

/// The distance of one schedule's samples.
#[derive(Serialize)]
struct Row {
    sampler: &'static str,
    stride: &'static str,
    steps: u64,
    distance: f64,
    /// Of the jackknife over blocks of samples, where there is one.
    #[serde(rename = "stderr")]
    error: Option<f64>,
    blocks: u64,
}

/// All of them, of one size.
pub(crate) struct SamplesTable {
    rows: Vec<Row>,
    /// FD(resnet56), or FID.
    metric: String,
    images: u64,
    steps: Vec<u64>,
    /// The images that samples are compared with.
    reference: u64,
    stand_in: bool,
}

impl SamplesTable {
    /// Reads what `ddpm fid` has written for every schedule.
    ///
    /// # Errors
    /// A result that is missing, is no distance, or is one of another number of samples or another network: such
    /// distances are not comparable.
    pub(crate) fn read(folder: &Path, size: &Size, stand_in: bool) -> anyhow::Result<Self> {
        let reference: FidStatistics = read(&folder.join("reference.json"))?;
        let mut rows = Vec::new();
        let mut metric: Option<String> = None;
        for sampler in SAMPLERS {
            for stride in STRIDES {
                for &steps in &size.steps {
                    let path = folder.join(format!("{sampler}.{stride}.{steps}.json"));
                    let found: Fid = read(&path)?;
                    let (images, name) = (count(&found.first.a)?, found.metric);
                    if images != size.images {
                        bail!(
                            "{}: expected {} samples, found {images}",
                            path.display(),
                            size.images
                        );
                    }
                    if *metric.get_or_insert_with(|| name.clone()) != name {
                        bail!(
                            "{}: expected the features of the others, found {name}",
                            path.display()
                        );
                    }
                    rows.push(Row {
                        sampler,
                        stride,
                        steps,
                        distance: found.frechet.value,
                        error: found.frechet.standard_error,
                        blocks: found.frechet.blocks as u64,
                    });
                }
            }
        }
        Ok(Self {
            rows,
            metric: metric.context("expected at least one schedule")?,
            images: size.images,
            steps: size.steps.clone(),
            reference: count(&reference.a)?,
            stand_in,
        })
    }

    /// Writes table.md, table.json and grids.md.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, folder: &Path, seed: u64) -> anyhow::Result<()> {
        self.write_json(&folder.join("table.json"), seed)?;
        let text = format!("{}\n{}", self.markdown(), self.findings());
        write_beside(&folder.join("table.md"), text.as_bytes())?;
        write_beside(&folder.join("grids.md"), self.grids().as_bytes())
    }

    /// Writes the table where the report looks for it; the pictures it finds by itself.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn publish(&self, report: &Path, seed: u64) -> anyhow::Result<()> {
        self.write_json(&report.join("table5.json"), seed)
    }

    fn title(&self) -> String {
        let what = if self.stand_in {
            "images of a STAND-IN, not CIFAR-10"
        } else {
            "train images of CIFAR-10"
        };
        format!(
            "{} of {} samples against {} {what}",
            self.metric, self.images, self.reference
        )
    }

    fn row(&self, sampler: &str, stride: &str, steps: u64) -> Option<&Row> {
        self.rows
            .iter()
            .find(|r| r.sampler == sampler && r.stride == stride && r.steps == steps)
    }

    /// The head of a table of these columns and one for each number of steps.
    fn head(&self, columns: &[&str]) -> String {
        let mut text = format!("| {} |", columns.join(" | "));
        for steps in &self.steps {
            let _ = write!(text, " K={steps} |");
        }
        let rules = "---|".repeat(columns.len() + self.steps.len());
        format!("{text}\n|{rules}\n")
    }

    /// The table, lower being better.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# {}\n\n{}",
            self.title(),
            self.head(&["sampler", "stride"])
        );
        for sampler in SAMPLERS {
            for stride in STRIDES {
                let _ = write!(text, "| {} | {} |", full_name(sampler), full_name(stride));
                for &steps in &self.steps {
                    let _ = match self.row(sampler, stride, steps) {
                        Some(row) => write!(text, " {} |", with_error(row.distance, row.error)),
                        None => write!(text, " - |"),
                    };
                }
                text.push('\n');
            }
        }
        let blocks = self.rows.first().map_or(0, |row| row.blocks);
        text += "\nLower is better. ";
        if blocks > 0 {
            let _ = write!(
                text,
                "± one standard error: jackknife over {blocks} blocks of the samples, the reference as it is. "
            );
        }
        text += "Every schedule starts from the same noise, \
                 which errors of differences do not take into account: they are too large rather than too small. A Fréchet distance is biased upwards by few samples: do not \
                 compare it with one of another number of samples.\n";
        text
    }

    /// What the paper found, and whether it shows here.
    pub(crate) fn findings(&self) -> String {
        let mut text = String::new();
        let mut lines = 0;
        let mut all_worse = true;
        for sampler in SAMPLERS {
            for &steps in &self.steps {
                let of = |stride| self.row(sampler, stride, steps);
                let Some(elbo) = of("dp-elbo") else { continue };
                for stride in ["even", "quadratic"] {
                    let Some(other) = of(stride) else { continue };
                    let difference = Difference::of(elbo, other);
                    let _ = writeln!(
                        text,
                        "  {}, K={steps}: DP (ELBO) minus {stride} {} ({})",
                        full_name(sampler),
                        difference.show(),
                        difference.verdict()
                    );
                    // The paper's schedules are used with the ancestral sampler.
                    if sampler == "ddpm" && steps <= FEW {
                        lines += 1;
                        all_worse &= difference.is_worse();
                    }
                }
                if let Some(mse) = of("dp-mse") {
                    let difference = Difference::of(mse, elbo);
                    let _ = writeln!(
                        text,
                        "  {}, K={steps}: DP (reweighted MSE) minus DP (ELBO) {} ({})",
                        full_name(sampler),
                        difference.show(),
                        difference.verdict()
                    );
                }
            }
        }
        if lines == 0 {
            let _ = writeln!(
                text,
                "  ELBO-optimal schedules worse than even and quadratic at few steps (DDPM): no K <= {FEW} in the table"
            );
        } else {
            let _ = writeln!(
                text,
                "  the paper's finding, ELBO-optimal schedules worse than even and quadratic at every K <= {FEW} \
                 (DDPM, beyond two standard errors): {}",
                yes(all_worse)
            );
        }
        text
    }

    fn write_json(&self, path: &Path, seed: u64) -> anyhow::Result<()> {
        let file = File {
            metric: &self.metric,
            images: self.images,
            reference_images: self.reference,
            stand_in: self.stand_in,
            seed,
            rows: &self.rows,
        };
        let json = serde_json::to_string_pretty(&file)? + "\n";
        write_beside(path, json.as_bytes())
    }

    /// The pictures of the same noise, as the paper's Figure 4 has them.
    fn grids(&self) -> String {
        let mut text = "# The same noise along every schedule\n".to_owned();
        for sampler in SAMPLERS {
            let _ = write!(
                text,
                "\n## {}\n\n{}",
                full_name(sampler),
                self.head(&["stride"])
            );
            for stride in STRIDES {
                let _ = write!(text, "| {} |", full_name(stride));
                for steps in &self.steps {
                    let _ = write!(text, " ![]({sampler}.{stride}.{steps}.png) |");
                }
                text.push('\n');
            }
        }
        text
    }
}

/// The file of a table.
#[derive(Serialize)]
struct File<'a> {
    metric: &'a str,
    images: u64,
    reference_images: u64,
    stand_in: bool,
    seed: u64,
    rows: &'a [Row],
}

/// One distance minus another.
struct Difference {
    value: f64,
    /// As of independent samples: the noise that two schedules share makes the true one smaller.
    error: Option<f64>,
}

impl Difference {
    fn of(a: &Row, b: &Row) -> Self {
        Self {
            value: a.distance - b.distance,
            error: a.error.zip(b.error).map(|(a, b)| a.hypot(b)),
        }
    }

    fn is_worse(&self) -> bool {
        self.value > 2.0 * self.error.unwrap_or(0.0)
    }

    fn verdict(&self) -> &'static str {
        match (
            self.is_worse(),
            -self.value > 2.0 * self.error.unwrap_or(0.0),
        ) {
            (true, _) => "worse",
            (_, true) => "better",
            _ => "not told apart",
        }
    }

    fn show(&self) -> String {
        let sign = if self.value < 0.0 { "" } else { "+" };
        format!("{sign}{}", with_error(self.value, self.error))
    }
}

fn with_error(value: f64, error: Option<f64>) -> String {
    match error {
        Some(error) => format!("{value:.3} ± {error:.3}"),
        None => format!("{value:.3}"),
    }
}

fn count(set: &ImageSet) -> anyhow::Result<u64> {
    let images = set.images.map(|n| n as u64);
    images.with_context(|| format!("{}: expected a number of images", set.source))
}

/// A sampler or a stride as the paper calls it.
fn full_name(name: &'static str) -> &'static str {
    match name {
        "ddpm" => "DDPM",
        "ddim" => "DDIM(0)",
        "dp-elbo" => "DP (ELBO)",
        "dp-mse" => "DP (reweighted MSE)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn size() -> Size {
        Size {
            images: 64,
            steps: vec![5, 32],
            reference: None,
        }
    }

    fn set(images: u64) -> Value {
        json!({"source": "x", "kind": "images", "images": images})
    }

    /// The results of a run whose every schedule has the distance that `of` gives it.
    fn results(of: impl Fn(&str, &str, u64) -> f64) -> TempDir {
        let results = tempfile::tempdir().unwrap();
        let folder = results.path();
        let reference = json!({"a": set(500)}).to_string();
        fs::write(folder.join("reference.json"), reference).unwrap();
        for sampler in SAMPLERS {
            for stride in STRIDES {
                for steps in size().steps {
                    put(
                        folder,
                        (sampler, stride, steps),
                        64,
                        of(sampler, stride, steps),
                    );
                }
            }
        }
        results
    }

    fn put(folder: &Path, (sampler, stride, steps): (&str, &str, u64), images: u64, value: f64) {
        let result = json!({
            "a": set(images),
            "b": set(500),
            "metric": "FD(resnet56)",
            "frechet": {"value": value, "stderr": 0.5, "blocks": 32},
        });
        let path = folder.join(format!("{sampler}.{stride}.{steps}.json"));
        fs::write(path, result.to_string()).unwrap();
    }

    fn worse_by(difference: f64) -> impl Fn(&str, &str, u64) -> f64 {
        move |sampler, stride, steps| match (sampler, stride, steps) {
            ("ddpm", "dp-elbo", 5) => 10.0 + difference,
            ("ddpm", "even", _) => 10.0,
            _ => 9.0,
        }
    }

    #[test]
    fn the_table_has_every_schedule_and_says_of_what() {
        let results = results(worse_by(3.0));
        let folder = results.path();
        for (stand_in, what) in [(false, "train images of CIFAR-10\n"), (true, "STAND-IN")] {
            let table = SamplesTable::read(folder, &size(), stand_in).unwrap();
            table.write(folder, 7).unwrap();
            let text = fs::read_to_string(folder.join("table.md")).unwrap();
            assert!(
                text.contains("FD(resnet56) of 64 samples against 500"),
                "{text}"
            );
            assert!(text.contains(what), "{text}");
            assert!(
                text.contains("| DDPM | DP (ELBO) | 13.000 ± 0.500 | 9.000 ± 0.500 |\n"),
                "{text}"
            );
            let json: Value = read(&folder.join("table.json")).unwrap();
            assert_eq!(json["rows"].as_array().unwrap().len(), 16);
            assert_eq!(
                (&json["stand_in"], &json["seed"]),
                (&json!(stand_in), &json!(7))
            );
        }
        let grids = fs::read_to_string(folder.join("grids.md")).unwrap();
        assert_eq!(grids.matches(".png)").count(), 16);
    }

    #[test]
    fn the_finding_needs_more_than_two_standard_errors() {
        // The standard error of the difference is 0.707.
        for (difference, verdict, shown) in [(3.0, "worse", "yes"), (1.0, "not told apart", "NO")] {
            let results = results(worse_by(difference));
            let folder = results.path();
            let findings = SamplesTable::read(folder, &size(), false)
                .unwrap()
                .findings();
            let line =
                format!("DDPM, K=5: DP (ELBO) minus even +{difference:.3} ± 0.707 ({verdict})\n");
            assert!(findings.contains(&line), "{findings}");
            // At 32 steps it is better, which is no few steps.
            assert!(
                findings.contains("K=32: DP (ELBO) minus even -1.000 ± 0.707 (not told apart)"),
                "{findings}"
            );
            assert!(findings.ends_with(&format!("{shown}\n")), "{findings}");
        }
    }

    #[test]
    fn distances_of_different_sizes_are_not_mixed() {
        let results = results(worse_by(3.0));
        let folder = results.path();
        put(folder, ("ddim", "even", 32), 63, 9.0);
        let error = SamplesTable::read(folder, &size(), false)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("ddim.even.32") && error.contains("64 samples, found 63"),
            "{error}"
        );
    }
}
