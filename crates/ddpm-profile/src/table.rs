//! The paper's Table 3: bits/dim of even, quadratic and optimal strides under every variance, with standard errors.
//!
//! Everything that is chosen (paths, the analytic m, the optimal decoder's variance) is chosen on one profile, train, and scored on another,
//! test: the cost of a path that was optimised on its own sample is biased low.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::LN_2;

use ddpm_core::{Path, Stride, VarianceKind};

use crate::{
    conventions::{Decoder, DecoderKind, Objective, StartRule, StepVariances},
    cost::{CostModel, optimal_decoder_log_variance},
    curves::Curves,
    error::{Error, Result},
    profile::ElboProfile,
    provenance::Provenance,
    schedules::Optima,
    uncertainty::{Estimate, jackknife},
};

/// One cell of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// `even`, `quadratic`, `dp`, `dp-free` (the end chosen too) or `all` (every timestep).
    pub stride: String,
    /// The variance of the reverse steps.
    pub variance: VarianceKind,
    /// The decoder convention asked for.
    pub decoder: DecoderKind,
    /// The one that this row is scored with, see [`DecoderKind::for_steps`].
    pub scored_decoder: DecoderKind,
    /// K, the number of network evaluations.
    pub steps: usize,
    /// Bits per dimension on the test profile, prior included.
    pub bpd: f64,
    /// Its standard error (blocks of the test profile, jackknife); NaN if there are fewer than two blocks.
    pub standard_error: f64,
    /// Bits per dimension on the train profile, prior included: for optimised paths, a biased number.
    pub train_bpd: f64,
    /// The path, with its leading 0.
    pub path: Vec<usize>,
    /// bpd of the `dp` row of the same variance and budget minus this row's, paired over blocks; `None` for `dp` and `all`.
    pub diff_to_dp: Option<Estimate>,
}

/// Scores even, quadratic and optimal strides of every budget in `steps` and of all timesteps, per variance.
///
/// `decoder`: one convention for all rows; by default `respaced`, and `optimal` (frozen on train) for the analytic variance.
/// `start`: with [`StartRule::Free`] every budget gets a `dp-free` row beside its `dp` row.
/// Rows come variance by variance, budget by budget.
///
/// # Errors
/// [`Error::Steps`] for a budget outside 1..=T; [`Error::Mismatch`] if the profiles are not of the same network and conventions;
/// [`Error::Unsupported`] for a variance or decoder that the profiles cannot serve.
pub fn table3(
    train: &ElboProfile,
    test: &ElboProfile,
    steps: &[usize],
    variances: &[VarianceKind],
    decoder: Option<DecoderKind>,
    start: StartRule,
) -> Result<Vec<TableRow>> {
    check_comparable(train, test)?;
    let max = train.schedule().train_steps();
    if let Some(&found) = steps.iter().find(|&&k| k == 0 || k > max) {
        return Err(Error::Steps { max, found });
    }
    let curves = Curves::from_profile(train)?;
    let mut rows = Vec::new();
    for &variance in variances {
        let kind = decoder.unwrap_or(match variance {
            VarianceKind::Analytic => DecoderKind::Optimal,
            _ => DecoderKind::Respaced,
        });
        let frozen = Frozen::on(&curves, variance, kind)?;
        rows.extend(frozen.rows(&curves, test, steps, start)?);
    }
    Ok(rows)
}

/// Refuses to choose on one network, or on a stand-in, and score on another, or on real data.
///
/// Seeds, image counts and the name of the data (which holds its split and its layout) may differ.
fn check_comparable(train: &ElboProfile, test: &ElboProfile) -> Result<()> {
    let (a, b) = (train.provenance(), test.provenance());
    let fields = [
        (
            "checkpoint_sha256",
            a.checkpoint_sha256.clone(),
            b.checkpoint_sha256.clone(),
        ),
        (
            "noise_schedule",
            a.noise_schedule.clone(),
            b.noise_schedule.clone(),
        ),
        (
            "train_steps",
            a.train_steps.to_string(),
            b.train_steps.to_string(),
        ),
        (
            "clip_denoised",
            a.clip_denoised.to_string(),
            b.clip_denoised.to_string(),
        ),
        (
            "image_shape",
            format!("{:?}", a.image_shape),
            format!("{:?}", b.image_shape),
        ),
        (
            "parameterization",
            a.parameterization.clone(),
            b.parameterization.clone(),
        ),
        (
            "rescale_timesteps",
            a.rescale_timesteps.to_string(),
            b.rescale_timesteps.to_string(),
        ),
        ("precision", a.precision.clone(), b.precision.clone()),
        ("stand_in", a.stand_in.to_string(), b.stand_in.to_string()),
    ];
    let told = |p: &Provenance| -> BTreeMap<String, String> {
        let mut extra = p.extra.clone();
        extra.retain(|key, _| !Provenance::EXTRA_OF_THE_IMAGES.contains(&key.as_str()));
        extra
    };
    let (mine, theirs) = (told(a), told(b));
    let keys: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
    let show = |value: Option<&String>| value.map_or("absent".into(), String::clone);
    let extra = keys.into_iter().map(|key| {
        let field = format!("extra.{key}");
        (field, show(mine.get(key)), show(theirs.get(key)))
    });
    let fields = fields
        .into_iter()
        .map(|(field, first, second)| (field.to_owned(), first, second));
    for (field, first, second) in fields.chain(extra) {
        if first != second {
            return Err(Error::Mismatch {
                field,
                first,
                second,
            });
        }
    }
    if train.schedule() != test.schedule() {
        return Err(Error::Mismatch {
            field: "log_alpha_bar".into(),
            first: "the schedule of the first".into(),
            second: "another".into(),
        });
    }
    Ok(())
}

/// Conventions with everything that is estimated fixed.
struct Frozen {
    variances: StepVariances,
    decoder: Decoder,
}

/// A path to score, by its name in the table.
struct Entry {
    stride: &'static str,
    path: Path,
    /// Position of the `dp` entry of the same budget.
    dp: Option<usize>,
}

impl Frozen {
    fn on(train: &Curves, variance: VarianceKind, decoder: DecoderKind) -> Result<Self> {
        Ok(Self {
            variances: match variance {
                VarianceKind::Learned => StepVariances::Learned,
                VarianceKind::FixedSmall => StepVariances::FixedSmall,
                VarianceKind::FixedLarge => StepVariances::FixedLarge,
                VarianceKind::Analytic => StepVariances::Analytic {
                    mse: train.mse().into(),
                },
            },
            decoder: match decoder {
                DecoderKind::Respaced => Decoder::Respaced,
                DecoderKind::Marginal => Decoder::Marginal,
                DecoderKind::Optimal => Decoder::Optimal {
                    log_variance: optimal_decoder_log_variance(train)?.into(),
                },
                DecoderKind::Gaussian => Decoder::Gaussian {
                    bin_width: None,
                    first: None,
                },
                DecoderKind::None => Decoder::None,
            },
        })
    }

    fn model<'a>(&self, curves: &'a Curves) -> Result<CostModel<'a>> {
        CostModel::new(
            curves,
            self.variances.clone(),
            self.decoder.clone(),
            Objective::Elbo,
        )
    }

    /// Bits per dimension of the entries, prior included.
    fn score(&self, curves: &Curves, entries: &[Entry]) -> Result<Vec<f64>> {
        let model = self.model(curves)?;
        let bpd = |entry: &Entry| {
            let prior = model.prior(entry.path.end()).unwrap_or(f64::NAN);
            (model.path_cost(&entry.path) + prior) / LN_2
        };
        Ok(entries.iter().map(bpd).collect())
    }

    fn rows(
        &self,
        train: &Curves,
        test: &ElboProfile,
        steps: &[usize],
        start: StartRule,
    ) -> Result<Vec<TableRow>> {
        let entries = self.entries(train, steps, start)?;
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
        let row = |(i, entry): (usize, &Entry)| TableRow {
            stride: entry.stride.into(),
            variance: self.variances.kind(),
            decoder: self.decoder.kind(),
            scored_decoder: self.decoder.kind().for_steps(entry.path.steps()),
            steps: entry.path.steps(),
            bpd: estimates[i].value,
            standard_error: estimates[i].standard_error,
            train_bpd: train_bpd[i],
            path: entry.path.nodes().to_vec(),
            diff_to_dp: entry.dp.map(|_| estimates[count + i]),
        };
        Ok(entries.iter().enumerate().map(row).collect())
    }

    /// The paths of the table, the optimal ones chosen on these curves.
    fn entries(&self, train: &Curves, steps: &[usize], start: StartRule) -> Result<Vec<Entry>> {
        let model = self.model(train)?;
        let optima = Optima::new(&model, steps.iter().copied().max())?;
        let terminal = optima.terminal(&model, start)?;
        let schedule = train.schedule();
        let mut entries = Vec::new();
        for &k in steps {
            let dp = Some(entries.len() + 2);
            let optimal = |terminal: Option<&[f64]>| {
                let end = optima.end(k, terminal).ok_or(Error::Unreachable {
                    steps: k,
                    end: schedule.train_steps(),
                })?;
                optima.path(k, end)
            };
            let mut add = |stride, path, dp| entries.push(Entry { stride, path, dp });
            add("even", Stride::Even(k).path(schedule)?, dp);
            add("quadratic", Stride::Quadratic(k).path(schedule)?, dp);
            add("dp", optimal(None)?, None);
            if terminal.is_some() {
                add("dp-free", optimal(terminal.as_deref())?, dp);
            }
        }
        entries.push(Entry {
            stride: "all",
            path: Path::all(schedule.train_steps()),
            dp: None,
        });
        Ok(entries)
    }
}
