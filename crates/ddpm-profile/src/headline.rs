//! The headline of a pair of profiles: how many optimal steps lose little of what all steps reach.

use ddpm_core::{DecoderKind, Stride, TimePath, VarianceKind};
use ddpm_schedule::Scoring;
use ddpm_schedule::results::{Beyond, Fewest, Headline, Measured};

use crate::choose::Optima;
use crate::cost::CostModel;
use crate::curves::Curves;
use crate::error::Result;
use crate::freeze::Frozen;
use crate::profile::ElboProfile;
use crate::table::check_comparable;
use crate::uncertainty::{Estimate, jackknife};

/// The longest schedule that is looked at.
const MOST: usize = 64;

/// What a run has found of the paper's claim: chosen on `train`, scored on `test`, differences paired over the blocks of `test`.
///
/// # Errors
/// Those of [`table3`](crate::table3).
pub fn headline(train: &ElboProfile, test: &ElboProfile) -> Result<Headline> {
    check_comparable(train, test)?;
    let [chosen_on, scored_on] = [train, test].map(Curves::from_profile);
    let (chosen_on, scored_on) = (chosen_on?, scored_on?);
    let learned = train.layout().learned() && test.layout().learned();
    let variance = VarianceKind::of_network(learned);
    let usual = Scoring::new(variance);
    let decoder = decoder_of(&chosen_on, &scored_on, usual.decoder);
    let scoring = usual.with_decoder(decoder);
    let own = Chain::new(&chosen_on, &scoring)?;
    let all = TimePath::all(chosen_on.train_steps());
    let fewest = own.fewest(&scored_on, own.bpd(&scored_on, &all)?)?;
    let schedule = chosen_on.schedule();
    let steps = Headline::PAPER_STEPS.min(chosen_on.train_steps());
    let mut paths = vec![
        all,
        own.optimal(steps)?,
        Stride::Quadratic(steps).path(schedule)?,
        Stride::Even(steps).path(schedule)?,
    ];
    paths.extend(fewest.map(|k| own.optimal(k)).transpose()?);
    let estimates = jackknife(test, |curves| {
        let scores = own.scores(curves, &paths)?;
        let minus = |a: usize, b: usize| scores[a] - scores[b];
        let mut found = vec![scores[0], scores[1], minus(1, 0), minus(1, 2), minus(1, 3)];
        found.extend((paths.len() > 4).then(|| minus(4, 0)));
        Ok(found)
    })?;
    let number = |i: usize| measured(&estimates[i]);
    let p = test.provenance();
    Ok(Headline {
        data_name: p.data_name.clone(),
        stand_in: p.stand_in,
        images: test.images(),
        train_steps: chosen_on.train_steps(),
        variance,
        decoder: scoring.decoder,
        all: number(0),
        steps,
        optimal: number(1),
        loss: number(2),
        minus_quadratic: number(3),
        minus_even: number(4),
        most: own.most,
        fewest: fewest.map(|steps| Fewest {
            steps,
            loss: number(5),
        }),
        beyond: beyond(&chosen_on, (test, &scored_on), variance)?,
    })
}

/// `usual`, where both know it: squared errors know nothing of discretised pixels.
fn decoder_of(chosen_on: &Curves, scored_on: &Curves, usual: DecoderKind) -> DecoderKind {
    match chosen_on.has_decoder() && scored_on.has_decoder() {
        true => usual,
        false => DecoderKind::Gaussian,
    }
}

/// Calibrated kernels against all timesteps of the network's own variance, under one decoder: they have to differ in nothing else.
fn beyond(
    chosen_on: &Curves,
    (test, scored_on): (&ElboProfile, &Curves),
    variance: VarianceKind,
) -> Result<Option<Beyond>> {
    if chosen_on.bands().is_none() || scored_on.bands().is_none() {
        return Ok(None);
    }
    let decoder = decoder_of(chosen_on, scored_on, DecoderKind::Optimal);
    let chain = |kind| Chain::new(chosen_on, &Scoring::new(kind).with_decoder(decoder));
    let (own, calibrated) = (chain(variance)?, chain(VarianceKind::Spectral)?);
    let all = TimePath::all(chosen_on.train_steps());
    let reached = own.bpd(scored_on, &all)?;
    let fewest = match calibrated.fewest(scored_on, reached)? {
        None => None,
        Some(steps) => {
            let path = [calibrated.optimal(steps)?];
            let all = [all];
            let loss = jackknife(test, |curves| {
                let few = calibrated.scores(curves, &path)?;
                Ok(vec![few[0] - own.scores(curves, &all)?[0]])
            })?;
            let loss = measured(&loss[0]);
            Some(Fewest { steps, loss })
        }
    };
    Ok(Some(Beyond {
        kernel: calibrated.frozen.scoring.kernel(),
        decoder,
        fewest,
        own_steps: own.fewest(scored_on, reached)?,
    }))
}

fn measured(estimate: &Estimate) -> Measured {
    Measured {
        value: estimate.value,
        standard_error: Some(estimate.standard_error).filter(|e| e.is_finite()),
    }
}

/// One convention with its optimal paths.
struct Chain {
    frozen: Frozen,
    optima: Optima,
    most: usize,
}

impl Chain {
    fn new(chosen_on: &Curves, scoring: &Scoring) -> Result<Self> {
        let frozen = chosen_on.freeze(scoring)?;
        let most = MOST.min(chosen_on.train_steps());
        let model = CostModel::new(chosen_on, frozen.clone())?;
        let optima = Optima::new(&model, Some(most))?;
        Ok(Self {
            frozen,
            optima,
            most,
        })
    }

    fn optimal(&self, steps: usize) -> Result<TimePath> {
        self.optima.path(steps, None)
    }

    /// Bits/dim of paths, prior included.
    fn scores(&self, curves: &Curves, paths: &[TimePath]) -> Result<Vec<f64>> {
        let model = CostModel::new(curves, self.frozen.clone())?;
        Ok(paths.iter().map(|path| model.bits_per_dim(path)).collect())
    }

    fn bpd(&self, curves: &Curves, path: &TimePath) -> Result<f64> {
        Ok(self.scores(curves, std::slice::from_ref(path))?[0])
    }

    /// The fewest optimal steps that lose little of what was reached.
    fn fewest(&self, curves: &Curves, reached: f64) -> Result<Option<usize>> {
        let paths = (1..=self.most)
            .map(|k| self.optimal(k))
            .collect::<Result<Vec<_>>>()?;
        let scores = self.scores(curves, &paths)?;
        let few = scores
            .iter()
            .position(|bpd| bpd - reached < Headline::WITHIN);
        Ok(few.map(|i| i + 1))
    }
}
