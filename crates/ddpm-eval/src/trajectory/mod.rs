//! Trajectories of the probability-flow ODE and of the forward process, and samples compared with them.

mod earlier;
mod end_points;
mod flow;
mod follow;
mod forward;
mod growth;
mod reference;
mod saver;
mod trials;

pub use end_points::{FlowPlan, end_points, squared_distances};
pub use follow::{TrajectoryPlan, follow_flow};
pub use forward::{ForwardPlan, follow_forward};
pub use growth::{GrowthPlan, measure_growth};
pub use reference::reference_trajectories;
pub use trials::run_trials;
