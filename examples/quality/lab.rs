//! The network and everything that is measured with it, kept on disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ddpm::core::{
    DecoderKind, Denoiser, MeanKind, NoiseSchedule, Sampler, Stride, TimePath, VarianceKind,
};
use ddpm::data::{Split, open, selection};
use ddpm::eval::{
    FlowPlan, ForwardPlan, GrowthPlan, Silent, TrajectoryPlan, end_points, follow_flow,
    follow_forward, reference_trajectories, squared_distances,
};
use ddpm::files::{sha256, write_atomic};
use ddpm::model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser};
use ddpm::profile::{CostModel, Curves, ElboProfile};
use ddpm::schedule::{Corrections, Scoring};
use ddpm::trajectory::{Trajectories, reference_grid};

use crate::{Options, Outcome};

/// Starts that schedules are chosen on, and those that they are judged on: other seeds.
const CHOOSING_SEED: u64 = 1;
const JUDGING_SEED: u64 = 2;
const CHOOSING_STARTS: usize = 24;
const CHOOSING_NODES: usize = 160;
/// Nodes of the reference that is judged against.
pub(crate) const JUDGING_NODES: usize = 256;

/// To be raised when the solvers, the clipping, the reference's grid, growth or the candidates change.
const CACHE_VERSION: u32 = 4;

pub(crate) struct Lab {
    denoiser: UNetDenoiser,
    work: PathBuf,
    data: PathBuf,
    /// Of every timestep, where the flow is that of corrected estimates.
    means: Option<Arc<Corrections>>,
    starts: usize,
    distances: RefCell<BTreeMap<String, Vec<f64>>>,
}

impl Lab {
    pub(crate) fn new(options: &Options) -> Outcome<Self> {
        let model = ModelOptions::default();
        let file = Checkpoint::open(&options.checkpoint)?;
        let unet = UNet::load_on(&file, &model, Backend::Packed(Arithmetic::F32))?;
        let denoiser = UNetDenoiser::new(unet, &model)?;
        // Whatever is kept lies under its checkpoint and under the settings below: another network, seed or setting
        // finds nothing of this one's.
        let (means, corrected) = match options.mean {
            MeanKind::Network => (None, String::new()),
            MeanKind::Calibrated => {
                let bytes = std::fs::read(&options.profile)?;
                let profile = ElboProfile::from_bytes(&bytes)?;
                let means = corrections(&profile)?;
                (
                    Some(Arc::new(means)),
                    format!("-calibrated-{}", &sha256(&bytes)[..8]),
                )
            }
        };
        let work = options.work.join(format!(
            "{}{corrected}-seeds{CHOOSING_SEED},{JUDGING_SEED}-starts{CHOOSING_STARTS}-nodes{CHOOSING_NODES},{JUDGING_NODES}-v{CACHE_VERSION}",
            &file.sha256()[..16]
        ));
        std::fs::create_dir_all(&work)?;
        let mut lab = Self {
            denoiser,
            work,
            data: options.data.clone(),
            means,
            starts: options.starts,
            distances: RefCell::default(),
        };
        if let Ok(text) = std::fs::read_to_string(lab.distances_file()) {
            lab.distances = RefCell::new(serde_json::from_str(&text)?);
        }
        Ok(lab)
    }

    pub(crate) fn schedule(&self) -> &NoiseSchedule {
        self.denoiser.noise_schedule()
    }

    pub(crate) fn dims(&self) -> usize {
        self.denoiser.shape().iter().product()
    }

    fn plan(&self, seed: u64, count: usize) -> FlowPlan {
        FlowPlan {
            first: 0,
            count,
            seed,
            labels: None,
            clip_denoised: true,
            means: self.means.clone(),
            batch: 0,
        }
    }

    fn distances_file(&self) -> PathBuf {
        self.work.join(format!("distances-{}.json", self.starts))
    }

    fn kept(
        &self,
        name: &str,
        make: impl FnOnce() -> Outcome<Trajectories>,
    ) -> Outcome<Trajectories> {
        let file = self.work.join(format!("{name}.safetensors"));
        if file.exists() {
            return Ok(Trajectories::from_bytes(&std::fs::read(file)?)?);
        }
        let begin = std::time::Instant::now();
        let made = make()?;
        write_atomic(&file, &made.to_bytes())?;
        eprintln!(
            "{name}: {} evaluations, {:.0} s",
            made.origin().evaluations,
            begin.elapsed().as_secs_f64()
        );
        Ok(made)
    }

    /// What schedules are chosen on: the reference with growth, and every candidate of these budgets run.
    pub(crate) fn choosing(&self, steps: &[usize]) -> Outcome<Trajectories> {
        let reference = self.kept("reference", || self.follow(&[], None))?;
        let list: Vec<String> = steps.iter().map(ToString::to_string).collect();
        self.kept(&format!("choosing-{}", list.join("-")), || {
            self.follow(steps, Some(reference))
        })
    }

    fn follow(&self, steps: &[usize], earlier: Option<Trajectories>) -> Outcome<Trajectories> {
        let plan = TrajectoryPlan {
            fitted: Vec::new(),
            flow: self.plan(CHOOSING_SEED, CHOOSING_STARTS),
            grid: reference_grid(self.schedule(), CHOOSING_NODES)?,
            growth: GrowthPlan::default(),
            steps: steps.to_vec(),
            save_every: Duration::MAX,
        };
        Ok(follow_flow(
            &self.denoiser,
            &plan,
            earlier,
            &Silent,
            &mut |_| Ok(()),
        )?)
    }

    /// Whether the images of [`Lab::forward`] stand in for real ones.
    pub(crate) fn stand_in(&self) -> Outcome<bool> {
        Ok(open(&self.data, Split::Train, None)?.stand_in())
    }

    /// The trajectory of another grid from the choosing starts, for GITS.
    pub(crate) fn teacher(&self, grid: &TimePath) -> Outcome<Trajectories> {
        let plan = self.plan(CHOOSING_SEED, CHOOSING_STARTS);
        // Under the grid itself: teachers of another range or number of nodes are others.
        let nodes: Vec<String> = grid.nodes().iter().map(ToString::to_string).collect();
        self.kept(&format!("teacher-{:016x}", fnv(&nodes.join(","))), || {
            Ok(reference_trajectories(
                &self.denoiser,
                &plan,
                grid,
                &Silent,
            )?)
        })
    }

    /// Paths of the forward SDE on train images.
    pub(crate) fn forward(&self) -> Outcome<Trajectories> {
        let shape = self.denoiser.shape();
        let data = open(&self.data, Split::Train, Some(&shape))?;
        let kind = if data.stand_in() { "stand-in" } else { "real" };
        self.kept(&format!("forward-{kind}-{}", data.len()), || {
            let plan = ForwardPlan {
                images: selection(CHOOSING_SEED, data.len(), CHOOSING_STARTS),
                grid: reference_grid(self.schedule(), CHOOSING_NODES)?,
                seed: CHOOSING_SEED,
                clip_denoised: true,
                batch: 0,
                save_every: Duration::MAX,
            };
            Ok(follow_forward(
                &self.denoiser,
                &data,
                &plan,
                Split::Train,
                None,
                &Silent,
                &mut |_| Ok(()),
            )?)
        })
    }

    /// The end points of the reference that is judged against.
    pub(crate) fn end_reference(&self) -> Outcome<Vec<f32>> {
        self.reference_ends(JUDGING_NODES, self.starts)
    }

    /// End points of `count` judging starts by DPM-Solver++(2M) over so many nodes.
    pub(crate) fn reference_ends(&self, nodes: usize, count: usize) -> Outcome<Vec<f32>> {
        let grid = reference_grid(self.schedule(), nodes)?;
        self.ends(
            &format!("ends-{nodes}-{count}"),
            &grid,
            Sampler::DpmSolver2M,
            count,
        )
    }

    /// End points of `count` judging starts by DDIM through every timestep: another solver than the reference's, and no grid.
    pub(crate) fn ddim_ends(&self, count: usize) -> Outcome<Vec<f32>> {
        let every = Stride::Even(self.schedule().train_steps()).path(self.schedule())?;
        self.ends(&format!("ends-ddim-{count}"), &every, Sampler::Ddim, count)
    }

    fn ends(
        &self,
        name: &str,
        path: &TimePath,
        solver: Sampler,
        count: usize,
    ) -> Outcome<Vec<f32>> {
        let file = self.work.join(format!("{name}.f32"));
        if let Ok(bytes) = std::fs::read(&file) {
            return Ok(bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&b| f32::from_le_bytes(b))
                .collect());
        }
        let plan = self.plan(JUDGING_SEED, count);
        let ends = end_points(&self.denoiser, &plan, path, solver, &Silent)?;
        let bytes: Vec<u8> = ends.iter().flat_map(|x| x.to_le_bytes()).collect();
        write_atomic(&file, &bytes)?;
        Ok(ends)
    }

    /// Whether [`Lab::distances`] is known already.
    pub(crate) fn knows(&self, solver: Sampler, path: &TimePath) -> bool {
        self.distances
            .borrow()
            .contains_key(&distance_key(solver, path))
    }

    /// Per judging start, the mean square distance between the path's end point and `target`.
    pub(crate) fn distances(
        &self,
        solver: Sampler,
        path: &TimePath,
        target: &[f32],
    ) -> Outcome<Vec<f64>> {
        let key = distance_key(solver, path);
        if let Some(known) = self.distances.borrow().get(&key) {
            return Ok(known.clone());
        }
        let plan = self.plan(JUDGING_SEED, self.starts);
        let ends = end_points(&self.denoiser, &plan, path, solver, &Silent)?;
        let squares = squared_distances(&ends, target, self.dims());
        self.distances.borrow_mut().insert(key, squares.clone());
        let text = serde_json::to_string(&*self.distances.borrow())?;
        write_atomic(&self.distances_file(), text.as_bytes())?;
        Ok(squares)
    }
}

/// The corrections of a profile at every timestep: paths of any nodes are judged.
fn corrections(profile: &ElboProfile) -> Outcome<Corrections> {
    let curves = Curves::from_profile(profile)?;
    let scoring = Scoring::new(VarianceKind::Spectral)
        .with_mean(MeanKind::Calibrated)
        .with_decoder(DecoderKind::None);
    let model = CostModel::new(&curves, curves.freeze(&scoring)?)?;
    let schedule = profile.schedule();
    let every = Stride::Even(schedule.train_steps()).path(schedule)?;
    let found = Corrections::of_schedule(&model.schedule_of(every));
    Ok(found.ok_or("the profile has no bands of frequencies")?)
}

fn distance_key(solver: Sampler, path: &TimePath) -> String {
    format!("{solver} {path}")
}

/// FNV-1a, for names of files.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
