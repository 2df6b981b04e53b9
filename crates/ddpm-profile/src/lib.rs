//! ELBO profiles.
mod chebyshev;
mod column;
mod error;
mod layout;
mod measure;
mod pchip;
mod statistics;
mod vecmath;

pub use error::{Error, Result};
pub use layout::ProfileLayout;
pub use statistics::{Block, PointStatistics};
