//! The paper's Table 3: bits/dim of even, quadratic and optimal strides under every variance, with standard errors.
//!
//! Everything that is chosen (paths, the analytic m, the optimal decoder's variance) is chosen on one profile, train, and scored on another,
//! test: the cost of a path that was optimised on its own sample is biased low.

use ddpm_core::{DecoderKind, Difference, MeanKind, StartRule, Stride, TimePath, VarianceKind};
use ddpm_schedule::results::{PairedDifference, TableRow};
use ddpm_schedule::{Budgets, Scoring};

use crate::{
    choose::Optima,
    cost::CostModel,
    curves::Curves,
    error::{Invalid, Result},
    freeze::Frozen,
    profile::ElboProfile,
    uncertainty::jackknife,
};

/// Scores even, quadratic and optimal strides of every budget in `steps` and of all timesteps, per variance.
///
/// `mean`: one mean for all variances that can have it; by default what goes with each. `decoder`: one convention for all rows; by
/// default `respaced`, and `optimal` (frozen on train) for the measured variances; `gaussian` for profiles of squared errors alone.
/// `start`: with [`StartRule::Free`] every budget gets a `dp-free` row beside its `dp` row.
/// Rows come variance by variance, budget by budget.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for a budget outside 1..=T, if the profiles are not of the same network and conventions,
/// and for a variance or decoder that the profiles cannot serve.
pub fn table3(
    train: &ElboProfile,
    test: &ElboProfile,
    steps: &[usize],
    variances: &[VarianceKind],
    mean: Option<MeanKind>,
    decoder: Option<DecoderKind>,
    start: StartRule,
) -> Result<Vec<TableRow>> {
    check_comparable(train, test)?;
    Budgets::Only(steps.to_vec()).wanted(train.schedule().train_steps())?;
    let curves = Curves::from_profile(train)?;
    let mut rows = Vec::new();
    for &variance in variances {
        let scoring = scoring(&curves, variance, mean, decoder);
        let table = Table {
            frozen: curves.freeze(&scoring.with_start(start))?,
        };
        rows.extend(table.rows(&curves, test, table.entries(&curves, steps)?)?);
    }
    Ok(rows)
}

/// Scores given paths, each with the optimal path of as many steps (`dp`), per variance: a row `path` and its row `dp`, in the order of
/// the paths. The optimal paths end at T where the given one does, else where it is best.
///
/// `mean` and `decoder` are those of [`table3`].
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for a path beyond T, and as [`table3`].
pub fn score_paths(
    train: &ElboProfile,
    test: &ElboProfile,
    paths: &[TimePath],
    variances: &[VarianceKind],
    mean: Option<MeanKind>,
    decoder: Option<DecoderKind>,
) -> Result<Vec<TableRow>> {
    check_comparable(train, test)?;
    let end = train.schedule().train_steps();
    if let Some(path) = paths.iter().find(|path| path.end() > end) {
        let expected = format!("timesteps up to T = {end}");
        return Err(Invalid::field("path", expected, path.end()).into());
    }
    let curves = Curves::from_profile(train)?;
    let mut rows = Vec::new();
    for &variance in variances {
        let scoring = scoring(&curves, variance, mean, decoder);
        let table = Table {
            frozen: curves.freeze(&scoring)?,
        };
        rows.extend(table.rows(&curves, test, table.beside_optima(&curves, paths)?)?);
    }
    Ok(rows)
}

/// The conventions of the rows of one variance: what was asked for, where it goes with the variance.
fn scoring(
    curves: &Curves,
    variance: VarianceKind,
    mean: Option<MeanKind>,
    decoder: Option<DecoderKind>,
) -> Scoring {
    let mean = mean.filter(|mean| mean.goes_with(variance));
    curves.scoring(Some(variance), mean, decoder)
}

/// Refuses to choose on one network, or on a stand-in, and score on another, or on real data.
///
/// Seeds, image counts and the name of the data (which holds its split and its layout) may differ.
pub(crate) fn check_comparable(train: &ElboProfile, test: &ElboProfile) -> Result<()> {
    let (a, b) = (train.provenance(), test.provenance());
    let mut found = a.model.differences(&b.model);
    if a.stand_in != b.stand_in {
        found.push(Difference {
            field: "stand_in".into(),
            first: a.stand_in.to_string(),
            second: b.stand_in.to_string(),
        });
    }
    if train.schedule() != test.schedule() {
        found.push(Difference {
            field: "log_alpha_bar".into(),
            first: "the schedule of the first".into(),
            second: "another".into(),
        });
    }
    let bands = [train, test].map(|profile| profile.layout().bands());
    if let [Some(first), Some(second)] = bands {
        found.extend(first.difference(second));
    }
    match found.into_iter().next() {
        Some(first) => Err(Invalid::Mismatch(first).into()),
        None => Ok(()),
    }
}

/// A path to score, by its name in the table.
struct Entry {
    stride: &'static str,
    path: TimePath,
    /// Position of the `dp` entry of the same budget.
    dp: Option<usize>,
}

/// The rows of one variance.
struct Table {
    frozen: Frozen,
}

impl Table {
    fn model<'a>(&self, curves: &'a Curves) -> Result<CostModel<'a>> {
        CostModel::new(curves, self.frozen.clone())
    }

    /// Bits per dimension of the entries, prior included.
    fn score(&self, curves: &Curves, entries: &[Entry]) -> Result<Vec<f64>> {
        let model = self.model(curves)?;
        let bpd = |entry: &Entry| model.bits_per_dim(&entry.path);
        Ok(entries.iter().map(bpd).collect())
    }

    fn rows(
        &self,
        train: &Curves,
        test: &ElboProfile,
        entries: Vec<Entry>,
    ) -> Result<Vec<TableRow>> {
        let train_bpd = self.score(train, &entries)?;
        let count = entries.len();
        // Every row, then every difference to its optimal row.
        let estimates = jackknife(test, |curves| {
            let mut bpd = self.score(curves, &entries)?;
            let difference = |i: usize| entries[i].dp.map_or(0.0, |dp| bpd[dp] - bpd[i]);
            let differences: Vec<f64> = (0..count).map(difference).collect();
            bpd.extend(differences);
            Ok(bpd)
        })?;
        let scoring = &self.frozen.scoring;
        let row = |(i, entry): (usize, &Entry)| TableRow {
            stride: entry.stride.into(),
            variance: scoring.variance,
            mean: scoring.mean,
            decoder: scoring.decoder,
            scored_decoder: scoring.decoder_for(entry.path.steps()),
            steps: entry.path.steps(),
            bpd: estimates[i].value,
            standard_error: estimates[i].standard_error,
            train_bpd: train_bpd[i],
            dp_minus_this: entry.dp.map(|_| PairedDifference {
                bpd: estimates[count + i].value,
                standard_error: estimates[count + i].standard_error,
            }),
            path: entry.path.nodes().to_vec(),
        };
        Ok(entries.iter().enumerate().map(row).collect())
    }

    /// These paths, and the optimal one of as many steps after each.
    fn beside_optima(&self, train: &Curves, paths: &[TimePath]) -> Result<Vec<Entry>> {
        let model = self.model(train)?;
        let optima = Optima::new(&model, paths.iter().map(TimePath::steps).max())?;
        let free = optima.terminal(&model, StartRule::Free)?;
        let mut entries = Vec::new();
        for path in paths {
            let ends_early = path.end() < train.train_steps();
            let terminal = free.as_deref().filter(|_| ends_early);
            let optimal = optima.path(path.steps(), terminal)?;
            entries.push(Entry {
                stride: "path",
                path: path.clone(),
                dp: Some(entries.len() + 1),
            });
            entries.push(Entry {
                stride: "dp",
                path: optimal,
                dp: None,
            });
        }
        Ok(entries)
    }

    /// The paths of the table, the optimal ones chosen on these curves.
    fn entries(&self, train: &Curves, steps: &[usize]) -> Result<Vec<Entry>> {
        let model = self.model(train)?;
        let optima = Optima::new(&model, steps.iter().copied().max())?;
        let terminal = optima.terminal(&model, self.frozen.scoring.start)?;
        let schedule = train.schedule();
        let mut entries = Vec::new();
        for &k in steps {
            let dp = Some(entries.len() + 2);
            let mut add = |stride, path, dp| entries.push(Entry { stride, path, dp });
            add("even", Stride::Even(k).path(schedule)?, dp);
            add("quadratic", Stride::Quadratic(k).path(schedule)?, dp);
            add("dp", optima.path(k, None)?, None);
            if terminal.is_some() {
                add("dp-free", optima.path(k, terminal.as_deref())?, dp);
            }
        }
        entries.push(Entry {
            stride: "all",
            path: TimePath::all(schedule.train_steps()),
            dp: None,
        });
        Ok(entries)
    }
}
