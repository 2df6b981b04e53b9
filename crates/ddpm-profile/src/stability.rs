//! How much a chosen path owes to the images it was chosen on: optimal paths of the same profile without some of its images.
//!
//! The blocks are dealt out to F folds. For every fold the choice is made again without it. Let p be the path chosen on everything and
//! p_f the one chosen without fold f.
//! - c_all(p_f) - c_all(p), never negative, says how the cost varies between paths that could as well have been chosen.
//! - c_f(p_f) - c_f(p), on the images of fold f alone, is the gap that cross-validation sees. To second order in the noise of the
//!   estimated costs, with R the expected excess of p over the true optimum, its mean is R (2 + 1/(F - 1)): p was fitted to fold f, p_f was
//!   not. So R is estimated by the mean gap over that number, with a standard error from the spread over folds.
//!
//! Both choices are made among at most a thousand timesteps, which are the same for all of them: those at which the network was evaluated, where
//! the curves bend, and others evenly between. A choice among fewer paths loses a little less. Paths of more than a fifth as many steps are
//! chosen among all timesteps.
//!
//! Neither sees what interpolation between evaluated timesteps does to all folds alike.

use ddpm_core::TimePath;
use ddpm_schedule::{Budgets, Schedules, Scoring, Stability};

use crate::{
    choose::{Optima, unit},
    cost::CostModel,
    curves::Curves,
    error::{Invalid, Result},
    freeze::Frozen,
    nodes::Nodes,
    profile::ElboProfile,
};

/// The best paths of the budgets among some nodes, under conventions whose numbers were frozen there.
fn paths(
    curves: &Curves,
    frozen: Frozen,
    budgets: &[usize],
    nodes: &Nodes,
) -> Result<Vec<TimePath>> {
    let scoring = frozen.scoring;
    let model = CostModel::new(curves, frozen)?;
    let optima = Optima::among(nodes.clone(), &model, budgets.iter().copied().max())?;
    let terminal = optima.terminal(&model, scoring.start)?;
    let path = |&steps: &usize| optima.path(steps, terminal.as_deref());
    budgets.iter().map(path).collect()
}

/// What each path costs, prior included.
fn costs(model: &CostModel<'_>, paths: &[TimePath]) -> Vec<f64> {
    let unit = unit(model.scoring().objective);
    let cost =
        |path: &TimePath| (model.path_cost(path) + model.prior(path.end()).unwrap_or(0.0)) / unit;
    paths.iter().map(cost).collect()
}

/// The folds that images are dealt out to where nobody says.
pub const USUAL_FOLDS: usize = 8;

/// The most timesteps that a fold chooses among: eight choices among all of them take four to six times as long as the schedule.
const NODES: usize = 1024;
/// A path has fewer steps than one in so many of them.
const PER_STEP: usize = 5;

/// How many choices [`with_stability`] makes beside the one that was made: one for every fold, none where it leaves schedules as they are.
pub fn choices_of_stability(profile: &ElboProfile, budgets: &Budgets, folds: usize) -> usize {
    let folds = folds.min(profile.blocks().len());
    let is_listed = matches!(budgets, Budgets::Only(_));
    if is_listed && folds >= 2 { folds } else { 0 }
}

/// Schedules that were chosen on a profile with their [`stability`], where budgets were listed and there are at least two folds and two blocks; as they are elsewhere.
/// `chose` hears of every fold that is done.
///
/// # Errors
/// Those of [`stability`].
pub fn with_stability(
    schedules: Schedules,
    profile: &ElboProfile,
    budgets: &Budgets,
    folds: usize,
    chose: &mut dyn FnMut(),
) -> Result<Schedules> {
    let Budgets::Only(list) = budgets else {
        return Ok(schedules);
    };
    if choices_of_stability(profile, budgets, folds) == 0 {
        return Ok(schedules);
    }
    let of = |steps: &usize| schedules.schedule(*steps).map(|chosen| chosen.path.clone());
    let chosen: Vec<TimePath> = list.iter().map(of).collect::<ddpm_schedule::Result<_>>()?;
    let whole = Curves::from_profile(profile)?;
    let found = stability_of(&chosen, profile, &whole, &schedules.scoring, folds, chose)?;
    Ok(schedules.with_stability(found)?)
}

/// Estimates the stability of the optimal path of each budget, with at most `folds` folds (as many as there are blocks, if that is
/// less).
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for fewer than two folds or blocks, an error for a budget outside 1..=T, and everything that stands in the way
/// of choosing.
pub fn stability(
    profile: &ElboProfile,
    scoring: &Scoring,
    budgets: &[usize],
    folds: usize,
) -> Result<Vec<Stability>> {
    let blocks = profile.blocks().len();
    let folds = folds.min(blocks);
    if folds < 2 {
        let found = format!("{folds} ({blocks} blocks of images)");
        return Err(Invalid::field("folds", "at least 2", found).into());
    }
    let max = profile.schedule().train_steps();
    Budgets::Only(budgets.to_vec()).wanted(max)?;
    let whole = Curves::from_profile(profile)?;
    let frozen = whole.freeze(scoring)?;
    let chosen = paths(&whole, frozen, budgets, &Nodes::All(max))?;
    stability_of(&chosen, profile, &whole, scoring, folds, &mut || {})
}

/// Budgets whose choices are compared among the same nodes.
struct Group {
    nodes: Nodes,
    /// Which of the budgets, and how many steps these have.
    at: Vec<usize>,
    steps: Vec<usize>,
    /// Chosen on everything.
    chosen: Vec<TimePath>,
    /// Their costs on everything.
    costs: Vec<f64>,
}

/// The stability of paths that were chosen on the whole of a profile, with at least two folds and blocks.
fn stability_of(
    chosen: &[TimePath],
    profile: &ElboProfile,
    whole: &Curves,
    scoring: &Scoring,
    folds: usize,
    chose: &mut dyn FnMut(),
) -> Result<Vec<Stability>> {
    let blocks = profile.blocks().len();
    let folds = folds.min(blocks);
    let on_all = CostModel::new(whole, whole.freeze(scoring)?)?;
    let end = profile.schedule().train_steps();
    let few = Nodes::spread(profile.layout().timesteps(), end, NODES);
    // Where there are no fewer, one group has all.
    let is_short =
        |path: &TimePath| matches!(few, Nodes::Some(_)) && path.steps() * PER_STEP <= few.last();
    let mut groups = Vec::new();
    for (nodes, short) in [(few.clone(), true), (Nodes::All(end), false)] {
        let at: Vec<usize> = (0..chosen.len())
            .filter(|&i| is_short(&chosen[i]) == short)
            .collect();
        if at.is_empty() {
            continue;
        }
        let steps: Vec<usize> = at.iter().map(|&i| chosen[i].steps()).collect();
        let chosen = match &nodes {
            Nodes::All(_) => at.iter().map(|&i| chosen[i].clone()).collect(),
            Nodes::Some(_) => {
                let frozen = whole.freeze_among(scoring, &nodes)?;
                paths(whole, frozen, &steps, &nodes)?
            }
        };
        groups.push(Group {
            costs: costs(&on_all, &chosen),
            nodes,
            at,
            steps,
            chosen,
        });
    }
    let mut gaps = vec![Vec::with_capacity(folds); chosen.len()];
    let mut excess = vec![0.0f64; chosen.len()];
    for fold in 0..folds {
        let rest = Curves::of_blocks(profile, (0..blocks).filter(|i| i % folds != fold))?;
        let own = Curves::of_blocks(profile, (fold..blocks).step_by(folds))?;
        for group in &groups {
            let frozen = rest.freeze_among(scoring, &group.nodes)?;
            let others = paths(&rest, frozen.clone(), &group.steps, &group.nodes)?;
            let on_own = CostModel::new(&own, frozen)?;
            let (theirs, ours) = (costs(&on_own, &others), costs(&on_own, &group.chosen));
            let on_all = costs(&on_all, &others);
            for (k, &i) in group.at.iter().enumerate() {
                gaps[i].push(theirs[k] - ours[k]);
                excess[i] = excess[i].max(on_all[k] - group.costs[k]);
            }
        }
        chose();
    }
    let n = folds as f64;
    let divisor = 2.0 + 1.0 / (n - 1.0);
    let stability = |(gaps, largest_excess): (Vec<f64>, f64)| {
        let mean = gaps.iter().sum::<f64>() / n;
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        Stability {
            folds,
            loss: mean / divisor,
            loss_standard_error: (squares / (n - 1.0) / n).sqrt() / divisor,
            largest_excess,
        }
    };
    Ok(gaps.into_iter().zip(excess).map(stability).collect())
}
