//! Stored trajectories and where they come from.

use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, Difference, MeanKind, NoiseSchedule, Sampler, StepCoefficients,
    TimePath,
};
use ddpm_schedule::{Corrections, TrajectoryOrigin, check_known};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Invalid, Result};
use crate::gram::Gram;
use crate::growth::{GrowthPoint, is_solver};

/// A path that was run from the same starts as the reference, and how far from it it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The sampler.
    pub sampler: Sampler,
    /// Where the coefficients of its steps come from.
    #[serde(default, skip_serializing_if = "is_solver")]
    pub coefficients: CoefficientKind,
    /// 0 = t_0 < t_1 < ... < t_K.
    pub path: Vec<usize>,
    /// The coefficients of its steps, in ascending t; none where they are the sampler's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fitted: Vec<StepCoefficients>,
    /// Network evaluations per image that finding it took; K where it is missing, those of running it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<usize>,
    /// Per image, the mean square over the dimensions of the difference from the reference's end point.
    pub squared_distances: Vec<f64>,
}

impl Trial {
    /// K.
    pub fn steps(&self) -> usize {
        self.path.len() - 1
    }

    /// The root of the mean square over images and dimensions.
    pub fn rms(&self) -> f64 {
        let n = self.squared_distances.len() as f64;
        (self.squared_distances.iter().sum::<f64>() / n).sqrt()
    }
}

/// States and estimates of a few images at the nodes of a grid.
#[derive(Clone, Debug)]
pub struct Trajectories {
    pub(super) origin: TrajectoryOrigin,
    pub(super) schedule: NoiseSchedule,
    pub(super) nodes: Vec<usize>,
    pub(super) states: Vec<f32>,
    pub(super) estimates: Vec<f32>,
    pub(super) means: Option<Corrections>,
    pub(super) bands: Option<Arc<Bands>>,
    pub(super) growth: Vec<GrowthPoint>,
    pub(super) trials: Vec<Trial>,
}

impl Trajectories {
    /// `nodes` ascend in 1..=T; `states` and `estimates` are `[images, nodes, dims]`, the estimates clipped if the origin says so.
    ///
    /// # Errors
    /// [`Error::Schedule`] for what does not fit.
    pub fn new(
        origin: TrajectoryOrigin,
        schedule: NoiseSchedule,
        nodes: Vec<usize>,
        states: Vec<f32>,
        estimates: Vec<f32>,
    ) -> Result<Self> {
        let train_steps = schedule.train_steps();
        let ascending = nodes.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = |t: &usize| (1..=train_steps).contains(t);
        if nodes.is_empty() || !ascending || !nodes.iter().all(inside) {
            return Err(Invalid::timesteps(train_steps, format!("{nodes:?}")).into());
        }
        if origin.model.train_steps != train_steps {
            let expected = format!("{train_steps}, as the noise schedule has");
            let found = origin.model.train_steps;
            return Err(Invalid::field("train_steps", expected, found).into());
        }
        let images = origin.images.len();
        if let Some(labels) = &origin.labels {
            Invalid::check_length("labels", images, labels.len())?;
        }
        let expected = images * nodes.len() * origin.model.shape.iter().product::<usize>();
        for (name, values) in [("states", &states), ("estimates", &estimates)] {
            if values.len() != expected || expected == 0 {
                return Err(Invalid::length(name, expected.max(1), values.len()).into());
            }
            if let Some(&found) = values.iter().find(|x| !x.is_finite()) {
                return Err(Invalid::field(name, "finite numbers", found).into());
            }
        }
        Ok(Self {
            origin,
            schedule,
            nodes,
            states,
            estimates,
            means: None,
            bands: None,
            growth: Vec::new(),
            trials: Vec::new(),
        })
    }

    /// The same as trajectories of a network whose estimates were corrected at every node; `None` for the network as it is.
    ///
    /// # Errors
    /// [`Error::Schedule`] for corrections of other data, and for a node without one.
    pub fn with_means(self, means: Option<Corrections>) -> Result<Self> {
        if let Some(means) = &means {
            means.check(&self.origin.model.shape, &self.nodes)?;
        }
        Ok(Self { means, ..self })
    }

    /// Takes in the images of `more`, which come after these: two parts of one run of one network. Whether parts that were kept in
    /// files are, [`check_same_run`](Self::check_same_run) says.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the parts are not of one run; [`Error::Schedule`] if growth or trials were measured on these alone.
    pub fn append(&mut self, more: Self) -> Result<()> {
        if !(self.growth.is_empty() && self.trials.is_empty()) {
            let why = "further images after growth or trials were measured";
            return Err(Invalid::Unsupported(why.into()).into());
        }
        let means = more.means.as_ref();
        self.check_alike(&more.origin, &more.schedule, &more.nodes, means)?;
        self.origin.images.extend(more.origin.images);
        if let (Some(labels), Some(more)) = (&mut self.origin.labels, more.origin.labels) {
            labels.extend(more);
        }
        self.states.extend(more.states);
        self.estimates.extend(more.estimates);
        Ok(())
    }

    /// Whether a run of this origin, noise schedule, nodes and corrections makes trajectories like these, whatever their images and how many
    /// evaluations they took.
    ///
    /// # Errors
    /// [`Error::Mismatch`] that names the first field in which they differ, these first; [`Error::Schedule`] for a network that nobody
    /// vouches for.
    pub fn check_same_run(
        &self,
        origin: &TrajectoryOrigin,
        schedule: &NoiseSchedule,
        nodes: &[usize],
        means: Option<&Corrections>,
    ) -> Result<()> {
        self.check_alike(origin, schedule, nodes, means)?;
        Ok(check_known(&origin.model)?)
    }

    fn check_alike(
        &self,
        origin: &TrajectoryOrigin,
        schedule: &NoiseSchedule,
        nodes: &[usize],
        means: Option<&Corrections>,
    ) -> Result<()> {
        if let Some(first) = self.origin.differences(origin).into_iter().next() {
            return Err(Error::Mismatch(first));
        }
        let differs = |field: &str, first: String, second: String| {
            if first == second {
                return Ok(());
            }
            Err(Error::Mismatch(Difference {
                field: field.to_owned(),
                first,
                second,
            }))
        };
        let of = |nodes: &[usize]| format!("{} nodes", nodes.len());
        differs("grid", of(&self.nodes), of(nodes))?;
        let same_schedule = self.schedule == *schedule;
        if self.nodes != nodes || !same_schedule {
            let field = if same_schedule {
                "nodes of the grid"
            } else {
                "alpha_bar"
            };
            return differs(field, "one list".into(), "another".into());
        }
        match (&self.means, means) {
            (Some(own), Some(other)) if own != other => differs(
                "calibrated mean",
                "of one profile".into(),
                "of another".into(),
            ),
            (own, other) => {
                let of = |calibrated: bool| MeanKind::of_calibrated(calibrated).to_string();
                differs("mean", of(own.is_some()), of(other.is_some()))
            }
        }
    }

    /// The same trajectories with measured growth.
    ///
    /// # Errors
    /// [`Error::Schedule`] for a point that does not belong to them.
    pub fn with_growth(mut self, growth: Vec<GrowthPoint>) -> Result<Self> {
        for point in &growth {
            point.sampler.check_priced()?;
            self.check_per_image("growth factors", &point.factors)?;
            if !self.nodes.contains(&point.t) {
                let (field, expected) = ("t of a growth point", "a node of the grid");
                return Err(Invalid::field(field, expected, point.t).into());
            }
        }
        self.growth = growth;
        Ok(self)
    }

    /// The same trajectories with the bands of frequencies that coefficients per band are of.
    ///
    /// # Errors
    /// [`Error::Schedule`] for bands of other data.
    pub fn with_bands(self, bands: Option<Arc<Bands>>) -> Result<Self> {
        let shape = &self.origin.model.shape;
        match &bands {
            Some(bands) if bands.shape() != &shape[..] => {
                let found = format!("{:?}", bands.shape());
                Err(Invalid::field("shape of the bands", format!("{shape:?}"), found).into())
            }
            _ => Ok(Self { bands, ..self }),
        }
    }

    /// The bands that coefficients per band are fitted in: those that they [have](Self::bands), those of the corrected mean, or the usual ones.
    ///
    /// # Errors
    /// As [`Bands::of_shape`].
    pub fn bands_of_fits(&self) -> Result<Arc<Bands>> {
        Ok(match (&self.bands, &self.means) {
            (Some(bands), _) => bands.clone(),
            (None, Some(means)) => means.bands().clone(),
            (None, None) => Arc::new(Bands::of_shape(&self.origin.model.shape)?),
        })
    }

    /// The bands of frequencies that coefficients per band are of.
    pub fn bands(&self) -> Option<&Arc<Bands>> {
        self.bands.as_ref()
    }

    /// The same trajectories with paths that were run.
    ///
    /// # Errors
    /// [`Error::Schedule`] for a trial of other images, and for coefficients that are not those of its steps or of other
    /// [bands](Self::with_bands); errors of [`ddpm_core::TimePath::new`].
    pub fn with_trials(mut self, trials: Vec<Trial>) -> Result<Self> {
        for trial in &trials {
            trial.sampler.check_priced()?;
            TimePath::new(trial.path.clone(), self.schedule.train_steps())?;
            self.check_per_image("squared distances of a trial", &trial.squared_distances)?;
            self.check_coefficients(trial)?;
        }
        self.trials = trials;
        Ok(self)
    }

    /// Fitted trials have coefficients of every step, others none.
    fn check_coefficients(&self, trial: &Trial) -> Result<()> {
        let steps = match trial.coefficients {
            CoefficientKind::Solver => 0,
            _ => trial.steps(),
        };
        Invalid::check_length("coefficients of a trial", steps, trial.fitted.len())?;
        let bands = match trial.coefficients {
            CoefficientKind::FittedBands => self.bands.as_ref().map_or(0, |bands| bands.count()),
            _ => 1,
        };
        for (k, step) in trial.fitted.iter().enumerate() {
            // The first steps of a path, the last of the list, have fewer nodes before their own.
            let most = trial.sampler.looks_back().min(steps - 1 - k);
            // Whatever the bands, the step onto the data is one number a term unless it is fitted.
            if step.looks_back() > most || (step.bands() != bands && step.bands() != 1) {
                let field = format!("coefficients of step {} of a trial", k + 1);
                let expected = format!("at most {} terms of {bands} numbers", 2 + most);
                let found = format!("{} of {}", step.looks_back() + 2, step.bands());
                return Err(Invalid::field(field, expected, found).into());
            }
        }
        Ok(())
    }

    /// One finite number of at least 0 per image.
    fn check_per_image(&self, field: &str, values: &[f64]) -> Result<()> {
        Invalid::check_length(field, self.images(), values.len())?;
        match values.iter().find(|x| !(x.is_finite() && **x >= 0.0)) {
            None => Ok(()),
            Some(&found) => {
                let expected = "finite numbers of at least 0";
                Err(Invalid::field(field, expected, found).into())
            }
        }
    }

    /// Refuses what an interrupted run has kept: nothing can be chosen on it.
    ///
    /// # Errors
    /// [`Error::Schedule`] if [`TrajectoryOrigin::evaluations`] is 0.
    pub fn check_finished(&self) -> Result<()> {
        if self.origin.evaluations > 0 {
            return Ok(());
        }
        let expected = "those of a run that has ended";
        let found = "0, as what an interrupted run has kept";
        Err(Invalid::field("evaluations", expected, found).into())
    }

    /// Where the numbers come from.
    pub fn origin(&self) -> &TrajectoryOrigin {
        &self.origin
    }

    /// How many network evaluations all of it took, as the origin will say.
    pub fn set_evaluations(&mut self, evaluations: u64) {
        self.origin.evaluations = evaluations;
    }

    /// The noise schedule.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// The timesteps of the grid, ascending, without 0.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        self.origin.images.len()
    }

    /// The number of dimensions of an image.
    pub fn dims(&self) -> usize {
        self.origin.model.shape.iter().product()
    }

    /// The state of image `image` at node index `i` in 1..=N; at index 0 the end point, which is the estimate at index 1.
    ///
    /// # Panics
    /// If there is no such image or node.
    pub fn state(&self, image: usize, i: usize) -> &[f32] {
        match i {
            0 => self.estimate(image, 1),
            i => &self.states[self.at(image, i)],
        }
    }

    /// The network's estimate of x0 for image `image` at node index `i` in 1..=N.
    ///
    /// # Panics
    /// If there is no such image or node.
    pub fn estimate(&self, image: usize, i: usize) -> &[f32] {
        &self.estimates[self.at(image, i)]
    }

    /// What a sampler on the reference would remember of node index `i` in 1..=N ([`Sampler::remembered`]).
    ///
    /// # Panics
    /// If there is no such image or node.
    pub fn remembered(&self, sampler: Sampler, image: usize, i: usize) -> Vec<f64> {
        let [of_state, of_estimate] = sampler.remembered(&self.schedule, self.nodes[i - 1]);
        let fields = self.state(image, i).iter().zip(self.estimate(image, i));
        fields
            .map(|(&x, &d)| of_state * f64::from(x) + of_estimate * f64::from(d))
            .collect()
    }

    fn at(&self, image: usize, i: usize) -> std::ops::Range<usize> {
        assert!(
            (1..=self.nodes.len()).contains(&i),
            "node index {i} is out of range"
        );
        let begin = (image * self.nodes.len() + i - 1) * self.dims();
        begin..begin + self.dims()
    }

    /// How the estimates were corrected; `None` for the network's own.
    pub fn means(&self) -> Option<&Corrections> {
        self.means.as_ref()
    }

    /// Growth as measured.
    pub fn growth(&self) -> &[GrowthPoint] {
        &self.growth
    }

    /// Paths that were run.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The numbers of steps, ascending, that trials of a sampler with fitted coefficients were made for.
    pub fn taught_steps(&self, sampler: Sampler) -> Vec<usize> {
        let taught = self.trials.iter().filter(|trial| {
            trial.sampler == sampler && trial.coefficients != CoefficientKind::Solver
        });
        let mut steps: Vec<usize> = taught.map(Trial::steps).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The inner products of states and estimates: 32 N^2 bytes per image.
    pub fn gram(&self) -> Gram {
        Gram::new(self.nodes.len(), self.dims(), &self.states, &self.estimates)
    }
}
