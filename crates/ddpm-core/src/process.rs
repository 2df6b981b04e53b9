//! Gaussian processes of other clocks: each is our chain after a rescaling of the state, the time and what the network puts out.

mod denoiser;

pub use denoiser::OnProcess;

use std::collections::BTreeMap;
use std::fmt;

use crate::names::names;
use crate::noise_schedule::check_train_steps;
use crate::{Error, NoiseSchedule, Result, TimePath};

/// `x = alpha x_0 + sigma epsilon` at the N nodes of a clock, from little noise to much.
///
/// `x / scale` with `scale = sqrt(alpha^2 + sigma^2)` is the state of our chain with `alpha_bar = alpha^2 / (alpha^2 + sigma^2)`
/// ([`noise_schedule`](Self::noise_schedule)), node for node; node 0 is clean data, `alpha = 1`, `sigma = 0`. A clock that is continuous
/// becomes the grid that [`spacing`](Self::spacing) tells. Schedules are lists of nodes of it; [`times`](Self::times_of) and
/// [`sigmas`](Self::sigmas_of) are what other programs take. The shift of a flow is a property of such a list, not of the process.
///
/// ```
/// use ddpm_core::{Process, Sampler, TimePath};
///
/// // x = (1 - s) x_0 + s epsilon at s = 1/1000, 2/1000, .., 1.
/// let flow = Process::flow(1000)?;
/// let path = TimePath::new([250, 600, 1000], 1000)?;
/// assert_eq!(flow.times_of(&path), [1.0, 0.6, 0.25, 0.0]);
/// // Euler on the flow is DDIM in our coordinates: x_s = x_t + (s - t) (epsilon - x_0).
/// let step = Sampler::Ddim.flow_step(flow.noise_schedule(), &[], 600, 250);
/// let (x, x0) = (0.7, -0.2);
/// let ours = flow.scale(250) * (step.from_x_t * x / flow.scale(600) + step.from_xhat0 * x0);
/// let theirs = x + (0.25 - 0.6) * ((x - 0.4 * x0) / 0.6 - x0);
/// assert!((ours - theirs).abs() < 1e-12);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    kind: ProcessKind,
    spacing: String,
    /// Of node t at t - 1.
    nodes: Vec<Node>,
    schedule: NoiseSchedule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    alpha: f64,
    sigma: f64,
    /// What the network is told.
    time: f64,
}

/// Which process. Parsed from and printed as `vp`, `flow`, `edm` and `table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessKind {
    /// Variance preserving, `alpha^2 + sigma^2 = 1`, of whole timesteps: DDPM's chain.
    Vp,
    /// Rectified flow: `alpha = 1 - s`, `sigma = s`.
    Flow,
    /// Variance exploding (Karras et al. 2022): `alpha = 1`.
    Edm,
    /// Any other.
    Table,
}

names!(
    ProcessKind, "process",
    Vp => "vp",
    Flow => "flow",
    Edm => "edm",
    Table => "table",
);

impl ProcessKind {
    /// Under this name the settings of a network tell the process that it is of, as [`Process`] is printed; those of a chain of whole timesteps
    /// do not.
    pub const SETTING: &str = "process";

    /// Under this name the settings of a network tell the nodes of its process, where no words could: [`Process::settings`].
    pub const NUMBERS: &str = "process_nodes";

    /// The process of a network with these settings.
    pub fn of_settings(settings: &BTreeMap<String, String>) -> Self {
        let told = settings
            .get(Self::SETTING)
            .and_then(|text| text.split(',').next());
        told.map_or(Self::Vp, |name| name.parse().unwrap_or(Self::Table))
    }

    /// What programs of such processes call sigma, where `ratio` is the standard deviation of the noise over the weight of the data: that ratio, or of
    /// a flow s.
    pub fn sigma(self, ratio: f64) -> f64 {
        match self {
            Self::Flow if ratio == f64::INFINITY => 1.0,
            Self::Flow => ratio / (1.0 + ratio),
            _ => ratio,
        }
    }
}

/// The kind and the spacing: what tells apart processes of one noise schedule.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind, self.spacing)
    }
}

/// rho of the grid of [`Process::edm`], that of Karras et al. 2022.
const RHO: f64 = 7.0;

impl Process {
    /// `sigma_min` and `sigma_max` of [`edm`](Self::edm) where nobody says: those of Karras et al. 2022.
    pub const EDM_SIGMAS: [f64; 2] = [0.002, 80.0];

    /// A chain of whole timesteps; networks are told t - 1, as nearly all of them count.
    pub fn vp(schedule: NoiseSchedule) -> Self {
        let node = |t: usize| Node {
            alpha: schedule.alpha_bar(t).sqrt(),
            sigma: schedule.one_minus_alpha_bar(t).sqrt(),
            time: (t - 1) as f64,
        };
        Self {
            kind: ProcessKind::Vp,
            spacing: "whole timesteps".into(),
            nodes: (1..=schedule.train_steps()).map(node).collect(),
            schedule,
        }
    }

    /// Rectified flow (Liu et al. 2023), `x = (1 - s) x_0 + s epsilon`, at the nodes s = k / N; networks are told s. Nothing of the data is left
    /// at s = 1.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`] and [`Error::TooManyTrainSteps`].
    pub fn flow(nodes: usize) -> Result<Self> {
        check_train_steps(nodes)?;
        let node = |k: usize| {
            let s = k as f64 / nodes as f64;
            // Exact where it ends.
            let alpha = (nodes - k) as f64 / nodes as f64;
            Node {
                alpha,
                sigma: s,
                time: s,
            }
        };
        let spacing = format!("{nodes} nodes even in s");
        Self::of_nodes(ProcessKind::Flow, spacing, (1..=nodes).map(node).collect())
    }

    /// Variance exploding (Karras et al. 2022), `x = x_0 + sigma epsilon`, at N nodes from `sigma_min` to `sigma_max`, even in sigma^(1/7);
    /// networks are told sigma.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless 0 < `sigma_min` < `sigma_max` are finite, and for a single node; [`Error::NoTrainSteps`] and
    /// [`Error::TooManyTrainSteps`].
    pub fn edm(sigma_min: f64, sigma_max: f64, nodes: usize) -> Result<Self> {
        for (what, value, fits) in [
            (
                "sigma_min",
                sigma_min,
                sigma_min > 0.0 && sigma_min.is_finite(),
            ),
            (
                "sigma_max",
                sigma_max,
                sigma_max > sigma_min && sigma_max.is_finite(),
            ),
        ] {
            if !fits {
                return Err(Error::InvalidParameter {
                    what,
                    value,
                    expected: "0 < sigma_min < sigma_max, finite",
                });
            }
        }
        check_train_steps(nodes)?;
        if nodes == 1 {
            return Err(Error::InvalidParameter {
                what: "nodes of the process",
                value: 1.0,
                expected: "at least 2, from sigma_min to sigma_max",
            });
        }
        let root = |sigma: f64| libm::pow(sigma, 1.0 / RHO);
        let (from, to) = (root(sigma_min), root(sigma_max));
        let node = |k: usize| {
            let sigma = match k {
                1 => sigma_min,
                k if k == nodes => sigma_max,
                k => libm::pow(
                    from + (to - from) * (k - 1) as f64 / (nodes - 1) as f64,
                    RHO,
                ),
            };
            Node {
                alpha: 1.0,
                sigma,
                time: sigma,
            }
        };
        let spacing = format!("{nodes} nodes even in sigma^(1/7) from {sigma_min} to {sigma_max}");
        Self::of_nodes(ProcessKind::Edm, spacing, (1..=nodes).map(node).collect())
    }

    /// Any process, a flow where all alpha + sigma = 1: `alpha`, `sigma` and what the network is told at every node, from little noise to much.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for lists of different lengths; [`Error::InvalidParameter`] for an alpha below 0, a sigma that is not above 0, and
    /// what is not finite; [`Error::AlphaBarNotDecreasing`] where the share of noise does not grow; [`Error::NoTrainSteps`] and
    /// [`Error::TooManyTrainSteps`].
    pub fn table(alphas: &[f64], sigmas: &[f64], times: &[f64]) -> Result<Self> {
        for (what, list) in [("sigmas", sigmas), ("times", times)] {
            if list.len() != alphas.len() {
                return Err(Error::LengthMismatch {
                    what,
                    expected: alphas.len(),
                    found: list.len(),
                });
            }
        }
        let lists = alphas.iter().zip(sigmas).zip(times);
        let nodes = lists.map(|((&alpha, &sigma), &time)| {
            for (what, value, fits, expected) in [
                (
                    "alpha",
                    alpha,
                    alpha >= 0.0,
                    "a finite number of at least 0",
                ),
                ("sigma", sigma, sigma > 0.0, "a finite number above 0"),
                ("time", time, true, "a finite number"),
            ] {
                if !(fits && value.is_finite()) {
                    return Err(Error::InvalidParameter {
                        what,
                        value,
                        expected,
                    });
                }
            }
            Ok(Node { alpha, sigma, time })
        });
        let nodes: Vec<Node> = nodes.collect::<Result<_>>()?;
        // FNV-1a of the numbers: tables of one noise schedule differ by their scale and times.
        let numbers = nodes.iter().flat_map(|n| [n.alpha, n.sigma, n.time]);
        let bytes = numbers.flat_map(|x| x.to_bits().to_le_bytes());
        let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let spacing = format!("a table of {} nodes ({digest:016x})", nodes.len());
        let of_flow = |n: &Node| (n.alpha + n.sigma - 1.0).abs() < 1e-9;
        let kind = if nodes.iter().all(of_flow) {
            ProcessKind::Flow
        } else {
            ProcessKind::Table
        };
        Self::of_nodes(kind, spacing, nodes)
    }

    fn of_nodes(kind: ProcessKind, spacing: String, nodes: Vec<Node>) -> Result<Self> {
        // log(alpha^2 / (alpha^2 + sigma^2)) without a difference of numbers that are nearly equal.
        let log_alpha_bar = |node: &Node| {
            if node.alpha == 0.0 {
                f64::NEG_INFINITY
            } else {
                let noise = node.sigma / node.alpha;
                -libm::log1p(noise * noise)
            }
        };
        let logs: Vec<f64> = nodes.iter().map(log_alpha_bar).collect();
        Ok(Self {
            kind,
            spacing,
            schedule: NoiseSchedule::from_log_alpha_bar(&logs)?.with_clock(kind),
            nodes,
        })
    }

    /// The same flow, of which networks are told so many times s.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a scale that is not finite and above 0, and for what is no [`flow`](Self::flow) that is told s.
    pub fn with_time_scale(mut self, scale: f64) -> Result<Self> {
        let refused = |what, value, expected| Error::InvalidParameter {
            what,
            value,
            expected,
        };
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(refused("time scale", scale, "a finite number above 0"));
        }
        if !(self.kind == ProcessKind::Flow && self.spacing.ends_with(" nodes even in s")) {
            return Err(refused("time scale", scale, "a flow that is told s"));
        }
        for node in &mut self.nodes {
            node.time *= scale;
        }
        if let Some(last) = self.nodes.last() {
            self.spacing += &format!(", told {} at the last", last.time);
        }
        Ok(self)
    }

    /// What the settings of a network tell of it: its words ([`ProcessKind::SETTING`]) and, of a table, whose words do not hold them, its nodes
    /// ([`ProcessKind::NUMBERS`]), "alpha sigma time" and commas, to the last digit.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let words = self.to_string();
        let mut told = BTreeMap::new();
        if self.kind != ProcessKind::Vp && Self::of_words(&words).is_none() {
            let node = |node: &Node| format!("{} {} {}", node.alpha, node.sigma, node.time);
            let nodes: Vec<String> = self.nodes.iter().map(node).collect();
            told.insert(ProcessKind::NUMBERS.into(), nodes.join(","));
        }
        told.insert(ProcessKind::SETTING.into(), words);
        told
    }

    /// The process that the settings of a network tell; `None` where they tell none, or not all of it (those of a chain of whole timesteps tell nothing: its noise schedule does).
    pub fn of_settings(settings: &BTreeMap<String, String>) -> Option<Self> {
        let text = settings.get(ProcessKind::SETTING)?;
        let Some(nodes) = settings.get(ProcessKind::NUMBERS) else {
            return Self::of_words(text);
        };
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for node in nodes.split(',') {
            let mut numbers = node.split(' ');
            for list in &mut lists {
                list.push(numbers.next()?.parse::<f64>().ok()?);
            }
        }
        let [alphas, sigmas, times] = lists;
        let made = Self::table(&alphas, &sigmas, &times).ok()?;
        (made.to_string() == *text).then_some(made)
    }

    /// The process that is printed so: a flow, or EDM's.
    fn of_words(text: &str) -> Option<Self> {
        let (kind, spacing) = text.split_once(", ")?;
        let (count, rest) = spacing.split_once(" nodes even in ")?;
        let count = count.parse().ok()?;
        let made = match kind.parse().ok()? {
            ProcessKind::Flow => {
                let flow = Self::flow(count).ok()?;
                let told = rest.strip_prefix("s, told ");
                match told.and_then(|told| told.strip_suffix(" at the last")) {
                    // s = 1 there.
                    Some(told) => flow.with_time_scale(told.parse().ok()?).ok()?,
                    None => flow,
                }
            }
            ProcessKind::Edm => {
                let (from, to) = rest.strip_prefix("sigma^(1/7) from ")?.split_once(" to ")?;
                Self::edm(from.parse().ok()?, to.parse().ok()?, count).ok()?
            }
            ProcessKind::Vp | ProcessKind::Table => return None,
        };
        (made.to_string() == text).then_some(made)
    }

    /// Which process it is.
    pub fn kind(&self) -> ProcessKind {
        self.kind
    }

    /// Where its nodes lie, in words.
    pub fn spacing(&self) -> &str {
        &self.spacing
    }

    /// The chain that it is after the rescaling.
    pub fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// `alpha` of node t in 0..=N.
    ///
    /// # Panics
    ///
    /// If t is above N.
    pub fn alpha(&self, t: usize) -> f64 {
        self.node(t).alpha
    }

    /// `sigma` of node t in 0..=N.
    ///
    /// # Panics
    ///
    /// If t is above N.
    pub fn sigma(&self, t: usize) -> f64 {
        self.node(t).sigma
    }

    /// What the network is told at node t in 0..=N; 0 at clean data, where no network is asked.
    ///
    /// # Panics
    ///
    /// If t is above N.
    pub fn time(&self, t: usize) -> f64 {
        self.node(t).time
    }

    /// `sqrt(alpha^2 + sigma^2)` of node t in 0..=N: the process's state per one of our chain.
    ///
    /// # Panics
    ///
    /// If t is above N.
    pub fn scale(&self, t: usize) -> f64 {
        if self.kind == ProcessKind::Vp {
            // Up to the rounding of its two numbers.
            1.0
        } else {
            libm::hypot(self.node(t).alpha, self.node(t).sigma)
        }
    }

    fn node(&self, t: usize) -> Node {
        match t {
            0 => Node {
                alpha: 1.0,
                sigma: 0.0,
                time: 0.0,
            },
            t => self.nodes[t - 1],
        }
    }

    /// What the network is told along a path, in the order of sampling, and 0 at the end.
    ///
    /// # Panics
    ///
    /// If a node is above N.
    pub fn times_of(&self, path: &TimePath) -> Vec<f64> {
        path.nodes().iter().rev().map(|&t| self.time(t)).collect()
    }

    /// `sigma / alpha` along a path, in the order of sampling, and 0 at the end: what k-diffusion calls sigma; of a flow it is not what
    /// flow-matching schedulers call so, which is s ([`times_of`](Self::times_of)). Infinite where nothing of the data is left.
    ///
    /// # Panics
    ///
    /// If a node is above N.
    pub fn sigmas_of(&self, path: &TimePath) -> Vec<f64> {
        let of = |&t: &usize| self.sigma(t) / self.alpha(t);
        path.nodes().iter().rev().map(of).collect()
    }
}
