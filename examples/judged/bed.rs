//! A test bed: its network, its judge, and the schedules that are chosen on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ddpm::core::{
    CoefficientKind, DecoderKind, Denoiser, Objective, Sampler, Stride, TimePath, VarianceKind,
};
use ddpm::data::{ImageSet, Images, Split, open};
use ddpm::eval::distance::{EnergyReference, FeatureStatistics, FrechetReference, Judge};
use ddpm::eval::{
    FlowPlan, GrowthPlan, ProfilePlan, SamplingPlan, Silent, TestBed, TrajectoryPlan,
    data_as_features, end_points, extract_features, follow_flow, profile, reference_trajectories,
    sample, timesteps_for,
};
use ddpm::model::{
    Arithmetic, Backend, Checkpoint, FeatureNetwork, ModelOptions, UNet, UNetDenoiser,
};
use ddpm::profile::choose_on;
use ddpm::schedule::{Budgets, Schedule, Schedules, Scoring};
use ddpm::trajectory::{
    Candidate, Gits, Spacing, Trajectories, below_sigma_80, choose_fitted, choose_quality, family,
    reference_grid, usual_strides,
};
use ndarray::{Array2, ArrayD, Axis, concatenate};
use serde_json::Value;

use crate::Outcome;

/// Nodes of the reference among which schedules are chosen, and of the one that ends are compared with.
const CHOOSING_NODES: usize = 160;
const JUDGING_NODES: usize = 256;
/// Nodes of GITS' teacher: its authors' 61 with the end.
const GITS_STEPS: usize = 60;
/// Data that the reweighted MSE is profiled on, and timesteps.
const PROFILED: usize = 256;
const PROFILED_TIMESTEPS: usize = 64;
/// Images whose distance to the flow is measured.
const FOLLOWED: usize = 256;

/// Values of a bed's own, else of the whole plan.
fn told<'a>(bed: &'a Value, plan: &'a Value, field: &str) -> &'a Value {
    match &bed[field] {
        Value::Null => &plan[field],
        own => own,
    }
}

pub(crate) fn words(bed: &Value, plan: &Value, field: &str) -> Outcome<Vec<String>> {
    Ok(serde_json::from_value(told(bed, plan, field).clone())?)
}

pub(crate) fn numbers(bed: &Value, plan: &Value, field: &str) -> Outcome<Vec<u64>> {
    Ok(serde_json::from_value(told(bed, plan, field).clone())?)
}

pub(crate) fn number(bed: &Value, plan: &Value, field: &str) -> Outcome<usize> {
    Ok(serde_json::from_value(told(bed, plan, field).clone())?)
}

/// What features are made of samples.
enum Space {
    Raw,
    Network(Box<FeatureNetwork>),
}

/// The trajectories of a choosing seed, and what is chosen on them for every number of steps.
struct Flow {
    trajectories: Trajectories,
    /// Without fitted coefficients and with them.
    chosen: Vec<(Sampler, [Schedules; 2])>,
}

pub(crate) struct Bed {
    pub(crate) name: String,
    denoiser: Box<dyn Denoiser>,
    clip: bool,
    /// Whether samples are 8-bit images, as those of a network are; draws of a mixture are not, so its samples stay as they are.
    images: bool,
    space: Space,
    pub(crate) judge: Judge,
    /// What `tuned` is chosen by: other data than those that it is judged by.
    pub(crate) tuning: Judge,
    pub(crate) samples: usize,
    pub(crate) choosing_seeds: Vec<u64>,
    pub(crate) sampling_seeds: Vec<u64>,
    starts: usize,
    steps: Vec<usize>,
    /// Whose schedules are chosen.
    solvers: Vec<Sampler>,
    /// Data to profile.
    train: ImageSet,
    test: ImageSet,
    flows: BTreeMap<u64, Flow>,
    /// What `tuned` is chosen among: for every choosing seed those of every number of steps.
    families: BTreeMap<u64, Vec<Vec<Candidate>>>,
    /// As published, and on our grid.
    gits: Option<[(&'static str, Gits); 2]>,
    mse: Option<Schedules>,
    ends: Option<Vec<f32>>,
}

impl Bed {
    /// Opens the network and its data, which lie in the folder `data` where they are no draws. The network is a
    /// checkpoint, a file of a test bed, or the test bed itself.
    pub(crate) fn open(bed: &Value, plan: &Value, data: &Path) -> Outcome<Self> {
        let text = |field: &str| bed[field].as_str();
        let reference = number(bed, plan, "reference")?;
        let described = match (&bed["network"], text("network")) {
            (Value::Object(own), _) => Some(serde_json::to_string(own)?),
            (_, Some(file)) if file.ends_with(".json") => Some(std::fs::read_to_string(file)?),
            _ => None,
        };
        let (denoiser, clip, train, test): (Box<dyn Denoiser>, bool, ImageSet, ImageSet) =
            if let Some(described) = &described {
                let bed = TestBed::from_json(described, &mut |path, split| {
                    Ok(open(&data.join(path), split, None)?)
                })?;
                let (train, test) = (bed.draws(Split::Train)?, bed.draws(Split::Test)?);
                (Box::new(bed.network().clone()), false, train, test)
            } else {
                let network = text("network").ok_or("network: expected a path or a test bed")?;
                let model = ModelOptions::default();
                let file = Checkpoint::open(Path::new(network))?;
                let unet = UNet::load_on(&file, &model, Backend::Packed(Arithmetic::F32))?;
                let told = text("data").ok_or("data: expected a path")?;
                let open = |split: Split| {
                    let path = data.join(told.replace("{split}", split.name()));
                    open(&path, split, None)
                };
                (
                    Box::new(UNetDenoiser::new(unet, &model)?),
                    true,
                    open(Split::Train)?,
                    open(Split::Test)?,
                )
            };
        let space = match text("features") {
            None => Space::Raw,
            Some(file) => {
                let file = Path::new(file);
                // Weights that are not in this repository lie beside the data.
                let file = if file.exists() {
                    file.into()
                } else {
                    data.join(file)
                };
                Space::Network(Box::new(FeatureNetwork::load(&Checkpoint::open(&file)?)?))
            }
        };
        let judge = |data: &ImageSet| -> Outcome<Judge> {
            let chosen: Vec<usize> = (0..reference.min(data.len())).collect();
            let features = features_of(&space, data, &chosen)?;
            Ok(match text("metric") {
                Some("energy") => Judge::Energy(EnergyReference::new(features.view())?),
                Some("fd") => {
                    let statistics = FeatureStatistics::from_features(features.view())?;
                    Judge::Frechet(FrechetReference::new(&statistics)?)
                }
                other => {
                    return Err(format!("metric: expected energy or fd, found {other:?}").into());
                }
            })
        };
        let (judge, tuning) = (judge(&test)?, judge(&train)?);
        let steps = numbers(bed, plan, "steps")?;
        let mut solvers: Vec<Sampler> = Vec::new();
        for sampler in words(bed, plan, "samplers")? {
            let sampler = sampler.parse::<Sampler>()?;
            let also = (sampler.looks_back() > 1).then_some(Sampler::DpmSolver2M);
            for of in also.into_iter().chain([sampler.schedules_of()]) {
                if !solvers.contains(&of) {
                    solvers.push(of);
                }
            }
        }
        Ok(Self {
            name: text("name").unwrap_or_default().to_owned(),
            denoiser,
            clip,
            images: described.is_none(),
            space,
            judge,
            tuning,
            samples: number(bed, plan, "samples")?,
            choosing_seeds: numbers(bed, plan, "choosing_seeds")?,
            sampling_seeds: numbers(bed, plan, "sampling_seeds")?,
            starts: number(bed, plan, "starts")?,
            steps: steps.into_iter().map(|k| k as usize).collect(),
            solvers,
            train,
            test,
            flows: BTreeMap::new(),
            families: BTreeMap::new(),
            gits: None,
            mse: None,
            ends: None,
        })
    }

    /// The same, for other numbers of steps.
    pub(crate) fn with_steps(self, steps: Vec<usize>) -> Self {
        Self { steps, ..self }
    }

    /// Data that samples are held against, as features.
    pub(crate) fn data(&self, count: usize) -> Outcome<Array2<f32>> {
        let chosen: Vec<usize> = (0..count.min(self.test.len())).collect();
        features_of(&self.space, &self.test, &chosen)
    }

    fn plan(&self, seed: u64, count: usize) -> FlowPlan {
        FlowPlan {
            first: 0,
            count,
            seed,
            labels: None,
            clip_denoised: self.clip,
            means: None,
            batch: 0,
        }
    }

    /// What the schedules of a choosing seed are chosen on, fitted coefficients taught.
    fn flow(&mut self, seed: u64) -> Outcome<&Flow> {
        if !self.flows.contains_key(&seed) {
            let plan = TrajectoryPlan {
                flow: self.plan(seed, self.starts),
                grid: reference_grid(self.denoiser.noise_schedule(), CHOOSING_NODES)?,
                growth: GrowthPlan {
                    solvers: self.solvers.clone(),
                    ..GrowthPlan::default()
                },
                steps: self.steps.clone(),
                fitted: vec![CoefficientKind::Fitted],
                save_every: Duration::MAX,
            };
            let trajectories = follow_flow(&*self.denoiser, &plan, None, &Silent, &mut |_| Ok(()))?;
            let budgets = Budgets::Only(self.steps.clone());
            let kind = CoefficientKind::Fitted;
            let chosen = self.solvers.iter().map(|&sampler| {
                let quality = choose_quality(&trajectories, sampler, &budgets)?;
                let fitted = choose_fitted(&trajectories, sampler, kind, &budgets)?;
                Ok((sampler, [quality, fitted]))
            });
            let chosen = chosen.collect::<Outcome<_>>()?;
            let flow = Flow {
                trajectories,
                chosen,
            };
            self.flows.insert(seed, flow);
        }
        Ok(&self.flows[&seed])
    }

    /// A path without further numbers, for a sampler.
    fn schedule(&self, path: TimePath, sampler: Sampler) -> Outcome<Schedule> {
        let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::None);
        let schedule = Schedule::of_path(self.denoiser.noise_schedule(), path, &scoring)?;
        Ok(Schedule {
            sampler,
            ..schedule
        })
    }

    /// What others use, by name.
    pub(crate) fn rivals(
        &mut self,
        sampler: Sampler,
        steps: usize,
    ) -> Outcome<Vec<(String, Schedule)>> {
        let noise = self.denoiser.noise_schedule().clone();
        let mut paths: Vec<(String, TimePath)> = usual_strides(&noise, steps)?
            .into_iter()
            .map(|(name, path)| (name.to_owned(), path))
            .collect();
        // It takes one evaluation more than its number says.
        paths.push((
            "DDIM quadratic".to_owned(),
            Stride::DdimQuadratic(steps - 1).path(&noise)?,
        ));
        for (name, spacing) in [
            ("uniform log-SNR, sigma <= 80", Spacing::LogSnr),
            ("Karras, sigma <= 80", Spacing::Karras),
        ] {
            paths.push((name.to_owned(), below_sigma_80(&noise, steps, spacing)?));
        }
        let seed = self.choosing_seeds[0];
        if self.gits.is_none() {
            let grid = below_sigma_80(&noise, GITS_STEPS, Spacing::Karras)?;
            let plan = self.plan(seed, self.starts);
            let teacher = reference_trajectories(&*self.denoiser, &plan, &grid, &Silent)?;
            let on_grid = Gits::new(&self.flow(seed)?.trajectories);
            self.gits = Some([("GITS", Gits::new(&teacher)), ("GITS on our grid", on_grid)]);
        }
        for (name, gits) in self.gits.iter().flatten() {
            paths.push(((*name).to_owned(), gits.path(steps)?));
        }
        if self.mse.is_none() {
            let timesteps = timesteps_for(&noise, PROFILED_TIMESTEPS);
            let images = (0..PROFILED.min(self.train.len())).collect();
            let plan = ProfilePlan {
                clip_denoised: self.clip,
                ..ProfilePlan::new(timesteps, images, 32, seed)
            };
            let split = Split::Train;
            let found = profile(
                &*self.denoiser,
                &self.train,
                &plan,
                split,
                None,
                &Silent,
                &mut |_| Ok(()),
            )?;
            let scoring = Scoring::new(VarianceKind::of_network(self.denoiser.learns_variance()))
                .with_decoder(DecoderKind::Marginal)
                .with_objective(Objective::Mse);
            self.mse = Some(choose_on(
                &found,
                &scoring,
                &Budgets::Only(self.steps.clone()),
            )?);
        }
        if let Some(mse) = &self.mse {
            let path = mse.schedule(steps)?.path.clone();
            paths.push(("reweighted MSE".to_owned(), path));
        }
        let ready = |(name, path)| Ok((name, self.schedule(path, sampler)?));
        paths.into_iter().map(ready).collect()
    }

    /// What the tool chooses without samples, by name.
    pub(crate) fn chosen(
        &mut self,
        sampler: Sampler,
        steps: usize,
        seed: u64,
    ) -> Outcome<Vec<(String, Schedule)>> {
        let of = sampler.schedules_of();
        let flow = self.flow(seed)?;
        let chosen_for = |of: Sampler| {
            let chosen = flow.chosen.iter().find(|(s, _)| *s == of);
            chosen.ok_or("no schedule is chosen for this sampler")
        };
        let (_, [quality, fitted]) = chosen_for(of)?;
        let schedule = quality.schedule(steps)?.clone().for_sampler(sampler);
        let mut found = vec![("quality".to_owned(), schedule)];
        if of == sampler {
            found.push(("fitted".to_owned(), fitted.schedule(steps)?.clone()));
        }
        if sampler.looks_back() > 1 {
            // What choosing over both nodes before is worth.
            let (_, [two_step, _]) = chosen_for(Sampler::DpmSolver2M)?;
            let schedule = two_step.schedule(steps)?.clone().for_sampler(sampler);
            found.push((format!("quality of {}", Sampler::DpmSolver2M), schedule));
        }
        Ok(found)
    }

    /// The candidates that `ddpm tune` judges for this sampler.
    pub(crate) fn candidates(
        &mut self,
        sampler: Sampler,
        steps: usize,
        seed: u64,
    ) -> Outcome<Vec<Schedule>> {
        if !self.families.contains_key(&seed) {
            let budgets = self.steps.clone();
            let found = family(&self.flow(seed)?.trajectories, &budgets, &[])?;
            self.families.insert(seed, found);
        }
        let at = self.steps.iter().position(|&k| k == steps);
        let all = &self.families[&seed][at.ok_or("a number of steps of the plan is expected")?];
        let own = all.iter().filter(|c| c.sampler == sampler).cloned();
        own.map(|candidate| {
            Ok(Schedule {
                coefficients: candidate.coefficients,
                fitted: candidate.fitted,
                ..self.schedule(candidate.path, sampler)?
            })
        })
        .collect()
    }

    /// Samples of a seed, `[N, ..]`.
    pub(crate) fn sample(
        &self,
        schedule: &Schedule,
        seed: u64,
        count: usize,
    ) -> Outcome<ArrayD<f32>> {
        let plan = SamplingPlan {
            seed,
            clip_denoised: self.clip,
            ..SamplingPlan::new(schedule.clone(), count)
        };
        Ok(sample(&*self.denoiser, &plan, &Silent)?)
    }

    /// What samples are judged by.
    pub(crate) fn features(&self, samples: &ArrayD<f32>) -> Outcome<Array2<f32>> {
        let set = if self.images {
            ImageSet::from_bytes("samples", Images::from_samples(samples.view())?.view())?
        } else {
            ImageSet::from_array("samples", samples.view())?
        };
        let all: Vec<usize> = (0..set.len()).collect();
        features_of(&self.space, &set, &all)
    }

    /// The ends of the flow from the first starts of the first sampling seed, and how many there are.
    pub(crate) fn ends(&mut self) -> Outcome<(Vec<f32>, usize)> {
        let count = FOLLOWED.min(self.samples);
        if self.ends.is_none() {
            let grid = reference_grid(self.denoiser.noise_schedule(), JUDGING_NODES)?;
            let plan = self.plan(self.sampling_seeds[0], count);
            let solver = Sampler::DpmSolver2M;
            self.ends = Some(end_points(&*self.denoiser, &plan, &grid, solver, &Silent)?);
        }
        Ok((self.ends.clone().unwrap_or_default(), count))
    }
}

fn features_of(space: &Space, set: &ImageSet, chosen: &[usize]) -> Outcome<Array2<f32>> {
    Ok(match space {
        Space::Raw => data_as_features(set, chosen)?,
        Space::Network(network) => extract_features(network, set, chosen, 64, &Silent)?,
    })
}

/// Sets of features one after the other.
pub(crate) fn joined(sets: &[Array2<f32>]) -> Outcome<Array2<f32>> {
    let views: Vec<_> = sets.iter().map(|set| set.view()).collect();
    Ok(concatenate(Axis(0), &views)?)
}
