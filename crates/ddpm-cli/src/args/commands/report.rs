//! The command that writes the report of a folder.

use std::path::PathBuf;

use clap::Args;

/// Write what a folder of results shows as one HTML page
///
/// The folder holds what the other commands leave: profiles, schedules files, grids of samples as PNG, evaluations and distances
/// printed with `--json`. Files are known by what they contain, not by their names. The page needs no network and no other file.
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
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
