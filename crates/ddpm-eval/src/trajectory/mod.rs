//! Trajectories of the probability-flow ODE and of the forward process, and samples compared with them.

mod earlier;
mod end_points;
mod fitted;
mod flow;
mod follow;
mod growth;
mod noising;
mod reference;
mod saver;
mod student;

pub use end_points::{FlowPlan, end_points, squared_distances};
pub use follow::{TrajectoryPlan, follow_flow};
pub use growth::GrowthPlan;
pub use noising::{ForwardPlan, follow_forward};
pub use reference::reference_trajectories;
