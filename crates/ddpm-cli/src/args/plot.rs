//! The commands that show results: figures, and the report of a folder.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ddpm_core::{DecoderKind, StartRule, VarianceKind};

use super::conventions::{decoders, starts, variances};
use super::outputs::OutputArgs;

/// Draw a figure as SVG or PNG
///
/// The figures are legible in black and white; axes have their units. A stride has one colour, dash and mark in all of them. With
/// `--width` a figure is made for a paper: without a title, which is printed as a caption instead. With `--json` the numbers that are drawn
/// are printed too.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm plot bits-per-dim train.p test.p --out bits.svg      bits/dim against K, every stride
  ddpm plot variances train.p test.p --out variances.svg    bits/dim against K, optimal paths of every variance
  ddpm plot timesteps schedules.json --out timesteps.png    the timesteps of every K
  ddpm plot errors train.p --out errors.svg                 m(t), the network's mean squared error
  ddpm plot terms schedules.json train.p --out terms.svg    the cost of each step of a path
  ddpm plot bits-per-dim train.p test.p --width 3.25 --out bits.svg    for a column of a paper")]
pub(crate) struct Plot {
    /// What to draw
    #[arg(value_name = "FIGURE")]
    pub(crate) figure: Figure,
    /// The files that it is drawn from, see below
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The figure to write, .svg or .png
    #[arg(long, value_name = "F")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// For a paper: so many inches wide, words of 8 points, PNG of 300 dpi, no title; prints the caption
    #[arg(long, value_name = "INCHES")]
    pub(crate) width: Option<f64>,
    /// Numbers of steps: a comma list [default: the paper's, or all of a schedules file]
    #[arg(long, value_name = "K,..")]
    pub(crate) steps: Option<String>,
    /// For bits-per-dim: the variance [default: learned where the network has it, else fixed-small]
    #[arg(long, value_name = "V", value_parser = variances())]
    pub(crate) variance: Option<VarianceKind>,
    /// For bits-per-dim and variances: the decoder [default: respaced, and optimal for the measured variances; optimal
    /// for all in variances]
    #[arg(long, value_name = "D", value_parser = decoders())]
    pub(crate) decoder: Option<DecoderKind>,
    /// For bits-per-dim: with `free` the paths that may end early, too [default: full]
    #[arg(long, value_name = "START", value_parser = starts())]
    pub(crate) start: Option<StartRule>,
    /// For terms with the gaussian decoder: the width of a bin of the data that the schedules were chosen with
    #[arg(long, value_name = "W")]
    pub(crate) decoder_bin_width: Option<f64>,
    /// For terms with the gaussian decoder: the decoder term at t = 1 that the schedules were chosen with, in bits/dim
    #[arg(long, value_name = "BITS")]
    pub(crate) decoder_first_bits: Option<f64>,
    /// Print what is drawn as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Bits/dim against K for all strides, with error bars: P_train P_test
    BitsPerDim,
    /// Bits/dim against K for the optimal paths of every variance, with error bars: P_train P_test
    Variances,
    /// The timesteps of every schedule: S.json
    Timesteps,
    /// The mean squared error m(t): P, or several
    Errors,
    /// The cost of every step of a schedule: S.json P
    Terms,
}

impl fmt::Display for Figure {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().ok_or(fmt::Error)?.get_name())
    }
}

/// Write what a folder of results shows as one HTML page
///
/// The folder holds what the other commands leave: profiles, schedules files, grids of samples as PNG, evaluations and distances
/// printed with `--json`. Files are known by what they contain, not by their names; pictures WAY.K.png of the same noise, such as
/// even.10.png, become one matrix. The page needs no network and no other file; beside
/// F.html the folder F.files holds its figures as SVG and PNG, its tables as CSV and LaTeX, and the card that it opens with.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm report runs/reproduce-cifar                        writes runs/reproduce-cifar/report.html
  ddpm report results/ --out report.html --json           and prints what was found as JSON")]
pub(crate) struct Report {
    /// The folder of results
    #[arg(value_name = "RUN_DIR")]
    pub(crate) folder: PathBuf,
    /// The page to write [default: RUN_DIR/report.html]
    #[arg(long, value_name = "F.html")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
