//! ELBO profiles.
mod chebyshev;
mod checksum;
mod column;
mod conventions;
mod cost;
mod curves;
mod error;
mod format;
mod interior;
mod layout;
mod learned;
mod measure;
mod monge;
mod pchip;
mod profile;
mod provenance;
mod statistics;
mod vecmath;

pub use conventions::{Decoder, DecoderKind, Objective, StartRule, StepVariances};
pub use cost::{CostModel, optimal_decoder_log_variance};
pub use curves::Curves;
pub use error::{Error, Result};
pub use layout::ProfileLayout;
pub use profile::ElboProfile;
pub use provenance::Provenance;
pub use statistics::{Block, PointStatistics};
