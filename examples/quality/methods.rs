//! The schedules that are ranked.

use ddpm::core::{DecoderKind, Objective, Sampler, Stride, TimePath, VarianceKind};
use ddpm::dp::{CostTable, Solution, SolveOptions, solve};
use ddpm::profile::{CostModel, Curves, ElboProfile};
use ddpm::schedule::{Budgets, Schedules, Scoring};
use ddpm::trajectory::{Gits, QualityModel, Weighting, choose_quality, entropic_path, klub};

use crate::lab::Lab;
use crate::{Options, Outcome};

/// Nodes of GITS' teacher: its authors' 61 with the end.
const GITS_STEPS: usize = 60;

/// The range of sigma that Karras et al. (2022) and GITS' authors sample in.
const SIGMAS: (f64, f64) = (0.002, 80.0);

#[derive(Clone, Copy)]
enum Spacing {
    LogSnr,
    Karras,
}

pub(crate) struct Methods {
    schedule: ddpm::core::NoiseSchedule,
    quality: QualityModel,
    /// What `ddpm schedule --objective quality` chooses.
    chosen: Vec<(Sampler, Schedules)>,
    gits: [(&'static str, Gits); 2],
    /// Name, timesteps of the nodes, table, solution.
    tables: Vec<(&'static str, Vec<usize>, CostTable, Solution)>,
    mse: Vec<f64>,
}

impl Methods {
    pub(crate) fn new(lab: &Lab, options: &Options) -> Outcome<Self> {
        let schedule = lab.schedule().clone();
        let choosing = lab.choosing(&options.steps)?;
        let teacher = lab.teacher(&clipped(&schedule, GITS_STEPS, Spacing::Karras)?)?;
        let forward = lab.forward()?;
        let profile = ElboProfile::from_bytes(&std::fs::read(&options.profile)?)?;
        let curves = Curves::from_profile(&profile)?;
        let most = options.steps.iter().copied().max();
        let mut tables = Vec::new();
        let all: Vec<usize> = (0..=schedule.train_steps()).collect();
        let scoring = Scoring::new(VarianceKind::of_network(curves.learned()));
        for (name, objective) in [
            ("DP (ELBO)", Objective::Elbo),
            ("DP (reweighted MSE)", Objective::Mse),
        ] {
            let scoring = scoring
                .with_decoder(DecoderKind::Respaced)
                .with_objective(objective);
            let model = CostModel::new(&curves, scoring.into())?;
            tables.push((name, all.clone(), model.table()?));
        }
        let mut nodes = forward.nodes().to_vec();
        let table = klub(&forward.gram(), &schedule, &nodes)?;
        nodes.insert(0, 0);
        tables.push(("DP (KLUB)", nodes, table));
        let solved = tables.into_iter().map(|(name, nodes, table)| {
            let options = SolveOptions {
                max_steps: most,
                ..SolveOptions::default()
            };
            let solution = solve(&table, &options)?;
            Ok((name, nodes, table, solution))
        });
        let chosen = Sampler::PRICED.into_iter().map(|solver| {
            let budgets = Budgets::Only(options.steps.clone());
            Ok((solver, choose_quality(&choosing, solver, &budgets)?))
        });
        Ok(Self {
            quality: QualityModel::new(&choosing)?,
            chosen: chosen.collect::<Outcome<_>>()?,
            gits: [
                ("GITS", Gits::new(&teacher)),
                ("GITS on our grid", Gits::new(&choosing)),
            ],
            tables: solved.collect::<Outcome<_>>()?,
            mse: curves.mse().to_vec(),
            schedule,
        })
    }

    /// Every method's name and its path of `steps` steps.
    pub(crate) fn paths(&self, solver: Sampler, steps: usize) -> Outcome<Vec<(String, TimePath)>> {
        let mut found = Vec::new();
        let model = &self.quality;
        let best = |weighting| -> Outcome<TimePath> {
            Ok(model.best_paths(solver, weighting, &[steps])?.remove(0).1)
        };
        let chosen = self
            .chosen
            .iter()
            .find(|(of, _)| *of == solver)
            .ok_or("no schedule was chosen")?;
        let winner = chosen.1.schedule(steps)?.path.clone();
        found.push(("quality".to_owned(), winner));
        found.push((
            "trajectory, nothing run".to_owned(),
            best(Weighting::default())?,
        ));
        let unweighted = Weighting {
            growth: false,
            ..Weighting::default()
        };
        found.push(("trajectory without growth".to_owned(), best(unweighted)?));
        for (name, stride) in [
            ("even", Stride::Even(steps)),
            ("quadratic", Stride::Quadratic(steps)),
            ("uniform log-SNR", Stride::LogSnr(steps)),
            ("Karras rho=7", Stride::Karras(steps)),
        ] {
            found.push((name.to_owned(), stride.path(&self.schedule)?));
        }
        for (name, spacing) in [
            ("uniform log-SNR, sigma <= 80", Spacing::LogSnr),
            ("Karras rho=7, sigma <= 80", Spacing::Karras),
        ] {
            found.push((name.to_owned(), clipped(&self.schedule, steps, spacing)?));
        }
        for (name, gits) in &self.gits {
            found.push(((*name).to_owned(), gits.path(steps)?));
        }
        found.push((
            "entropic".to_owned(),
            entropic_path(&self.schedule, &self.mse, steps)?,
        ));
        for (name, nodes, table, solution) in &self.tables {
            let path = solution
                .path(table, steps, nodes.len() - 1)
                .ok_or("no path")?;
            let timesteps: Vec<usize> = path.iter().map(|&i| nodes[i]).collect();
            found.push((
                (*name).to_owned(),
                TimePath::new(timesteps, self.schedule.train_steps())?,
            ));
        }
        Ok(found)
    }
}

/// `steps` timesteps, those nearest to equal intervals of log sigma or of sigma^(1/7) in [`SIGMAS`] as far as the schedule
/// goes, and 0. It may start below T, from the same pure noise: a step from T to there would cost one of the K and change
/// next to nothing.
fn clipped(
    schedule: &ddpm::core::NoiseSchedule,
    steps: usize,
    spacing: Spacing,
) -> Outcome<TimePath> {
    let end = schedule.train_steps();
    let log_sigma = |t: usize| -0.5 * schedule.log_snr(t);
    let (low, high) = (
        SIGMAS.0.ln().max(log_sigma(1)),
        SIGMAS.1.ln().min(log_sigma(end)),
    );
    let nodes = (0..steps).map(|k| {
        let share = if steps == 1 {
            1.0
        } else {
            k as f64 / (steps - 1) as f64
        };
        let target = match spacing {
            Spacing::LogSnr => low + share * (high - low),
            Spacing::Karras => {
                let (from, to) = ((low / 7.0).exp(), (high / 7.0).exp());
                7.0 * (from + share * (to - from)).ln()
            }
        };
        let distance = |t: usize| (log_sigma(t) - target).abs();
        (1..=end)
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap_or(end)
    });
    let mut path = vec![0];
    for node in nodes {
        path.push(node.max(path[path.len() - 1] + 1));
    }
    Ok(TimePath::new(path, end)?)
}
