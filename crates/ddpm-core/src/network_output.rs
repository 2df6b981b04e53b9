//! What networks of any Gaussian process put out, and the way back to the clean data.

use std::fmt;

use crate::{Parameterization, Process};

/// What a network puts out for a state `x = alpha x_0 + sigma epsilon` of its [`Process`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NetworkOutput {
    /// The noise, `epsilon`.
    Epsilon,
    /// The clean data, `x_0`.
    X0,
    /// `alpha epsilon - sigma x_0` (Salimans & Ho 2022).
    V,
    /// The velocity of a rectified flow, `epsilon - x_0` (SD3, Flux and most of their kind).
    Velocity,
    /// `F` of EDM's preconditioning (Karras et al. 2022, table 1; alpha = 1): shown `x / sqrt(sigma^2 + sigma_data^2)` and told `log(sigma) / 4`, it
    /// puts out `(x_0 - c_skip x) / c_out`. (Of a process with another alpha all of this is of x / alpha and sigma / alpha.) Of a network that does this within itself the output is `X0`.
    Edm {
        /// The standard deviation of the data that it was trained with.
        sigma_data: f64,
    },
}

impl fmt::Display for NetworkOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Edm { sigma_data } => write!(f, " (sigma_data {sigma_data})"),
            _ => Ok(()),
        }
    }
}

impl NetworkOutput {
    /// Under this name the settings of a network tell what it puts out, as it is printed.
    pub const SETTING: &str = "network_output";

    /// Its name, without numbers: the first word of what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::X0 => "x0",
            Self::V => "v",
            Self::Velocity => "velocity",
            Self::Edm { .. } => "edm",
        }
    }

    /// The same of our own chain, where it has a name.
    pub(crate) fn parameterization(self) -> Option<Parameterization> {
        match self {
            Self::Epsilon => Some(Parameterization::Epsilon),
            Self::X0 => Some(Parameterization::X0),
            Self::V => Some(Parameterization::V),
            Self::Velocity | Self::Edm { .. } => None,
        }
    }

    /// The factor from a state of our chain at node t to what the network is shown.
    pub fn input_scale(self, process: &Process, t: usize) -> f64 {
        let own = process.scale(t);
        match self {
            Self::Edm { sigma_data } => {
                own / libm::hypot(process.sigma(t), process.alpha(t) * sigma_data)
            }
            _ => own,
        }
    }

    /// What the network is told at node t.
    pub fn time(self, process: &Process, t: usize) -> f64 {
        match self {
            Self::Edm { .. } => 0.25 * libm::log(process.sigma(t) / process.alpha(t)),
            _ => process.time(t),
        }
    }

    /// The weights of the state of our chain and of the output in the estimate of `x_0` at node t; `None` where the output says nothing of it,
    /// none of the data being left.
    pub fn estimate(self, process: &Process, t: usize) -> Option<[f64; 2]> {
        let (alpha, sigma, scale) = (process.alpha(t), process.sigma(t), process.scale(t));
        let weights = match self {
            Self::Epsilon | Self::Edm { .. } if alpha == 0.0 => return None,
            Self::Epsilon => [scale / alpha, -sigma / alpha],
            Self::X0 => [0.0, 1.0],
            Self::V => {
                let power = alpha * alpha + sigma * sigma;
                [scale * alpha / power, -sigma / power]
            }
            Self::Velocity => [scale / (alpha + sigma), -sigma / (alpha + sigma)],
            Self::Edm { sigma_data } => {
                let noise = sigma / alpha;
                let both = libm::hypot(noise, sigma_data);
                let skip = sigma_data * sigma_data / (both * both);
                [scale / alpha * skip, noise * sigma_data / both]
            }
        };
        Some(weights)
    }
}
