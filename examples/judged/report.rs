//! What the cells say, in tables.

use std::fmt::Write;

use serde_json::Value;

use crate::Outcome;

/// The level of Holm's correction.
const LEVEL: f64 = 0.05;

/// A method of the tool in a cell, held against every rival.
struct Verdict {
    bed: String,
    sampler: String,
    steps: u64,
    method: String,
    /// Mean over the choosing seeds.
    distance: f64,
    error: f64,
    flow_rms: f64,
    /// The nearest rival.
    best: (String, f64),
    /// Of every rival: the mean difference over the choosing seeds, with an error that counts both the noise and the choosing seeds.
    minus: Vec<(String, f64, f64)>,
}

impl Verdict {
    fn against(&self, rival: &str) -> (f64, f64) {
        let found = self.minus.iter().find(|(name, ..)| name == rival);
        found.map_or((f64::NAN, f64::NAN), |&(_, value, error)| (value, error))
    }

    /// By two standard errors of every rival.
    fn is_ahead(&self) -> bool {
        self.minus
            .iter()
            .all(|(_, value, error)| *value < -2.0 * error)
    }

    /// Not behind the nearest rival by two standard errors.
    fn is_level(&self) -> bool {
        let (value, error) = self.against(&self.best.0);
        value <= 2.0 * error
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn verdicts(cell: &Value) -> Outcome<Vec<Verdict>> {
    let rows = cell["rows"].as_array().ok_or("rows: expected a list")?;
    let word = |field: &str| cell[field].as_str().unwrap_or_default().to_owned();
    let text = |row: &Value| row["schedule"].as_str().unwrap_or_default().to_owned();
    let rivals: Vec<(String, f64)> = rows
        .iter()
        .filter(|row| row["rival"] == true)
        .map(|row| (text(row), number(&row["runs"][0]["distance"]["value"])))
        .collect();
    let best = rivals
        .iter()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .ok_or("no rivals")?
        .clone();
    let own = rows.iter().filter(|row| row["rival"] == false);
    own.map(|row| {
        let runs = row["runs"].as_array().ok_or("runs: expected a list")?;
        let all = |f: &dyn Fn(&Value) -> f64| -> Vec<f64> { runs.iter().map(f).collect() };
        let over_seeds = |values: &[f64]| {
            let (n, middle) = (values.len() as f64, mean(values));
            let squares: f64 = values.iter().map(|v| (v - middle).powi(2)).sum();
            if n > 1.0 {
                squares / (n * (n - 1.0))
            } else {
                0.0
            }
        };
        let minus = rivals.iter().map(|(rival, _)| {
            let values = all(&|run| number(&run["minus"][rival]["value"]));
            let errors = all(&|run| number(&run["minus"][rival]["standard_error"]));
            // The runs share their noise: its error does not shrink with their number.
            let error = (mean(&errors).powi(2) + over_seeds(&values)).sqrt();
            (rival.clone(), mean(&values), error)
        });
        let values = all(&|run| number(&run["distance"]["value"]));
        let errors = all(&|run| number(&run["distance"]["standard_error"]));
        Ok(Verdict {
            bed: word("bed"),
            sampler: word("sampler"),
            steps: cell["steps"].as_u64().unwrap_or_default(),
            method: text(row),
            distance: mean(&values),
            error: (mean(&errors).powi(2) + over_seeds(&values)).sqrt(),
            flow_rms: mean(&all(&|run| number(&run["flow_rms"]))),
            best: best.clone(),
            minus: minus.collect(),
        })
    })
    .collect()
}

/// How many of these one-sided hypotheses Holm's procedure rejects.
fn holm(mut p: Vec<f64>) -> usize {
    p.sort_by(f64::total_cmp);
    let n = p.len();
    let rejected = p.iter().enumerate();
    rejected
        .take_while(|&(i, p)| *p <= LEVEL / (n - i) as f64)
        .count()
}

/// The chance of a difference as low as this one, or lower, where there is none. Of schedules that are one nothing is known.
fn chance(value: f64, error: f64) -> f64 {
    if error > 0.0 {
        normal_below(value / error)
    } else if value < 0.0 {
        0.0
    } else {
        1.0
    }
}

/// The chance that a standard normal variable is below `z`.
fn normal_below(z: f64) -> f64 {
    0.5 * libm_erfc(-z / std::f64::consts::SQRT_2)
}

/// Complementary error function (Abramowitz and Stegun 7.1.26; 1.5e-7 absolute, more than a test at 5% needs), with the tail of an exponential.
fn libm_erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = poly * (-x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

/// Spearman's rank correlation.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        values
            .iter()
            .map(|v| {
                let below = values.iter().filter(|w| *w < v).count() as f64;
                let same = values.iter().filter(|w| *w == v).count() as f64;
                below + 0.5 * (same - 1.0)
            })
            .collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let (ma, mb) = (mean(&a), mean(&b));
    let product = |x: &[f64], y: &[f64], mx: f64, my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    product(&a, &b, ma, mb) / (product(&a, &a, ma, ma) * product(&b, &b, mb, mb)).sqrt()
}

/// The tables.
pub(crate) fn text(found: &Value) -> Outcome<String> {
    let cells = found["cells"].as_array().ok_or("cells: expected a list")?;
    let mut all = Vec::new();
    let mut ranks: Vec<(String, f64)> = Vec::new();
    for cell in cells {
        all.extend(verdicts(cell)?);
        let rows = cell["rows"].as_array().ok_or("rows: expected a list")?;
        let of = |field: &dyn Fn(&Value) -> f64| -> Vec<f64> {
            rows.iter().map(|row| field(&row["runs"][0])).collect()
        };
        let distances = of(&|run| number(&run["distance"]["value"]));
        let flow = of(&|run| number(&run["flow_rms"]));
        let bed = cell["bed"].as_str().unwrap_or_default().to_owned();
        ranks.push((bed, rank_correlation(&distances, &flow)));
    }
    let mut methods: Vec<String> = all.iter().map(|v| v.method.clone()).collect();
    methods.sort();
    methods.dedup();
    let mut text = String::new();
    summary(&mut text, &all, &methods)?;
    correlations(&mut text, &ranks)?;
    distances(&mut text, &all, &methods)?;
    writeln!(text, "\nBehind, one by one:\n")?;
    for v in all.iter().filter(|v| !v.is_ahead() && !v.is_level()) {
        let (value, error) = v.against(&v.best.0);
        writeln!(
            text,
            "- {}, {}, {}, K = {}: {:.5} ± {:.5} against {} {:.5}, {value:+.5} ± {error:.5}; {:.4} from the flow",
            v.method,
            v.bed,
            v.sampler,
            v.steps,
            v.distance,
            v.error,
            v.best.0,
            v.best.1,
            v.flow_rms
        )?;
    }
    Ok(text)
}

/// How often each method is ahead.
fn summary(text: &mut String, all: &[Verdict], methods: &[String]) -> Outcome<()> {
    writeln!(
        text,
        "| chosen | cells | ahead of every rival | level with the nearest | behind | Holm, 5%: rivals beaten |\n|---|---|---|---|---|---|"
    )?;
    for method in methods {
        let own: Vec<&Verdict> = all.iter().filter(|v| v.method == *method).collect();
        let ahead = own.iter().filter(|v| v.is_ahead()).count();
        let level = own.iter().filter(|v| !v.is_ahead() && v.is_level()).count();
        let chances = own.iter().flat_map(|v| v.minus.iter());
        let p: Vec<f64> = chances
            .map(|&(_, value, error)| chance(value, error))
            .collect();
        let (of, cells) = (p.len(), own.len());
        let behind = cells - ahead - level;
        let beaten = holm(p);
        writeln!(
            text,
            "| {method} | {cells} | {ahead} | {level} | {behind} | {beaten} of {of} |"
        )?;
    }
    Ok(())
}

/// Whether who ends near the flow is near the data.
fn correlations(text: &mut String, ranks: &[(String, f64)]) -> Outcome<()> {
    let mut beds: Vec<&String> = ranks.iter().map(|(bed, _)| bed).collect();
    beds.dedup();
    writeln!(
        text,
        "\n| bed | rank correlation of the metric with the distance to the flow, mean over cells (range) |\n|---|---|"
    )?;
    for bed in beds {
        let own = ranks.iter().filter(|(b, _)| b == bed);
        let own: Vec<f64> = own.map(|(_, rank)| *rank).collect();
        let low = own.iter().copied().fold(f64::MAX, f64::min);
        let high = own.iter().copied().fold(f64::MIN, f64::max);
        writeln!(text, "| {bed} | {:.2} ({low:.2}..{high:.2}) |", mean(&own))?;
    }
    Ok(())
}

/// Every distance, a thousand times.
fn distances(text: &mut String, all: &[Verdict], methods: &[String]) -> Outcome<()> {
    writeln!(
        text,
        "\nDistances times 1000. Bold: ahead of every rival; plain: level with the nearest; in brackets: behind it.\n"
    )?;
    let mut steps: Vec<u64> = all.iter().map(|v| v.steps).collect();
    steps.sort_unstable();
    steps.dedup();
    let heads: Vec<String> = steps.iter().map(|k| format!("K={k}")).collect();
    writeln!(text, "| bed | sampler | | {} |", heads.join(" | "))?;
    writeln!(text, "|---|---|---|{}", "---|".repeat(steps.len()))?;
    let mut tables: Vec<(&str, &str)> = all
        .iter()
        .map(|v| (v.bed.as_str(), v.sampler.as_str()))
        .collect();
    tables.dedup();
    for (bed, sampler) in tables {
        let of = |method: &str, k: u64| {
            all.iter().find(|v| {
                (v.bed.as_str(), v.sampler.as_str(), v.steps) == (bed, sampler, k)
                    && (method.is_empty() || v.method == method)
            })
        };
        let row = |text: &mut String, name: &str, shown: &dyn Fn(u64) -> String| {
            let shown: Vec<String> = steps.iter().map(|&k| shown(k)).collect();
            writeln!(
                text,
                "| {bed} | {sampler} | {name} | {} |",
                shown.join(" | ")
            )
        };
        row(text, "nearest rival", &|k| {
            of("", k).map_or_else(String::new, |v| {
                format!("{:.2} {}", 1000.0 * v.best.1, v.best.0)
            })
        })?;
        for method in methods {
            if steps.iter().all(|&k| of(method, k).is_none()) {
                continue;
            }
            row(text, method, &|k| {
                of(method, k).map_or_else(String::new, |v| {
                    let (distance, error) = (1000.0 * v.distance, 1000.0 * v.error);
                    let shown = format!("{distance:.2} ± {error:.2}");
                    match (v.is_ahead(), v.is_level()) {
                        (true, _) => format!("**{shown}**"),
                        (_, true) => shown,
                        _ => format!("[{shown}]"),
                    }
                })
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_rejects_in_order_and_stops_at_the_first_that_stands() {
        // 0.05/4, 0.05/3, 0.05/2, 0.05: the third fails, so the fourth is not looked at.
        assert_eq!(holm(vec![0.04, 0.010, 0.001, 0.03]), 2);
        assert_eq!(holm(vec![0.04]), 1);
        assert_eq!(holm(vec![0.5, 0.6]), 0);
        // A schedule that is its own rival is not beaten, and hides no other that is.
        let chances = [(0.0, 0.0), (-1.0, 0.1), (-2.0, 0.1)].map(|(v, e)| chance(v, e));
        assert_eq!(holm(chances.to_vec()), 2);
    }

    #[test]
    fn the_normal_distribution_and_ranks_are_those_of_the_books() {
        assert!((normal_below(-1.959_964) - 0.025).abs() < 1e-6);
        assert!((normal_below(0.0) - 0.5).abs() < 1e-6);
        assert!((normal_below(1.644_854) - 0.95).abs() < 1e-6);
        assert!((rank_correlation(&[1.0, 2.0, 3.0], &[2.0, 3.0, 9.0]) - 1.0).abs() < 1e-12);
        assert!((rank_correlation(&[1.0, 2.0, 3.0], &[9.0, 3.0, 2.0]) + 1.0).abs() < 1e-12);
        assert!(
            (rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]) - 0.8).abs() < 1e-12
        );
    }
}
