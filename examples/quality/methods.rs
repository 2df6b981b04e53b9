//! The schedules that are ranked.

use ddpm::core::{FlowSolver, Path, Stride};
use ddpm::dp::{CostTable, Solution, SolveOptions, solve};
use ddpm::profile::trajectory::{QualityModel, Trajectories, Weighting, entropic_path, klub};
use ddpm::profile::{CostModel, Curves, Decoder, ElboProfile, Objective, StepVariances};

use crate::gits::{COEFFICIENT, Gits};
use crate::lab::Lab;
use crate::{Options, Outcome};

/// Nodes of GITS' teacher: its authors' 61 with the end.
const GITS_STEPS: usize = 60;

pub(crate) struct Methods {
    schedule: ddpm::core::NoiseSchedule,
    choosing: Trajectories,
    quality: QualityModel,
    gits: [(&'static str, Gits); 2],
    /// Name, timesteps of the nodes, table, solution.
    tables: Vec<(&'static str, Vec<usize>, CostTable, Solution)>,
    mse: Vec<f64>,
}

impl Methods {
    pub(crate) fn new(lab: &Lab, options: &Options) -> Outcome<Self> {
        let schedule = lab.schedule().clone();
        let choosing = lab.choosing(&options.steps)?;
        let teacher = lab.teacher(&Stride::Karras(GITS_STEPS).path(&schedule)?)?;
        let forward = lab.forward()?;
        let profile = ElboProfile::from_bytes(&std::fs::read(&options.profile)?)?;
        let curves = Curves::from_profile(&profile)?;
        let most = options.steps.iter().copied().max();
        let mut tables = Vec::new();
        let all: Vec<usize> = (0..=schedule.train_steps()).collect();
        let variance = if curves.learned() {
            StepVariances::Learned
        } else {
            StepVariances::FixedSmall
        };
        for (name, objective) in [
            ("DP (ELBO)", Objective::Elbo),
            ("DP (reweighted MSE)", Objective::Mse),
        ] {
            let model = CostModel::new(&curves, variance.clone(), Decoder::Respaced, objective)?;
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
        Ok(Self {
            quality: QualityModel::new(&choosing)?,
            gits: [
                ("GITS", Gits::new(&teacher, &schedule)),
                ("GITS on our grid", Gits::new(&choosing, &schedule)),
            ],
            tables: solved.collect::<Outcome<_>>()?,
            mse: curves.mse().to_vec(),
            schedule,
            choosing,
        })
    }

    /// Every method's name and its path of `steps` steps.
    pub(crate) fn paths(&self, solver: FlowSolver, steps: usize) -> Outcome<Vec<(String, Path)>> {
        let mut found = Vec::new();
        let model = &self.quality;
        let best = |weighting| -> Outcome<Path> {
            Ok(model.best_paths(solver, weighting, &[steps])?.remove(0).1)
        };
        // The candidate that did best on the choosing starts.
        let candidates = model.candidates(solver, &[steps])?.remove(0);
        let of_path = |path: &Path| {
            let trial = self
                .choosing
                .trials()
                .iter()
                .find(|t| solver.is_named(&t.sampler) && t.path == path.nodes());
            trial.map_or(f64::INFINITY, ddpm::profile::trajectory::Trial::rms)
        };
        let winner = candidates
            .iter()
            .min_by(|a, b| of_path(a).total_cmp(&of_path(b)))
            .ok_or("no candidate")?;
        found.push(("quality".to_owned(), winner.clone()));
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
        for (name, gits) in &self.gits {
            found.push(((*name).to_owned(), gits.path(steps, COEFFICIENT)));
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
                Path::new(timesteps, self.schedule.train_steps())?,
            ));
        }
        Ok(found)
    }
}
