//! The schedules that are ranked.

use ddpm::core::{DecoderKind, Objective, Sampler, Stride, TimePath, VarianceKind};
use ddpm::dp::{CostTable, Solution, SolveOptions, solve};
use ddpm::profile::{CostModel, Curves, ElboProfile};
use ddpm::schedule::{Budgets, Schedules, Scoring};
use ddpm::trajectory::{
    Gits, QualityModel, Spacing, Weighting, below_sigma_80, choose_quality, entropic_path, klub,
};

use crate::lab::Lab;
use crate::{Options, Outcome};

/// Nodes of GITS' teacher: its authors' 61 with the end.
const GITS_STEPS: usize = 60;

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
        let teacher = lab.teacher(&below_sigma_80(&schedule, GITS_STEPS, Spacing::Karras)?)?;
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
        let chosen = Sampler::USUAL.into_iter().map(|solver| {
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
            found.push((
                name.to_owned(),
                below_sigma_80(&self.schedule, steps, spacing)?,
            ));
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
