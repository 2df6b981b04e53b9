//! What people look at, as numbers: `ddpm plot` and `ddpm report`.

use std::collections::BTreeMap;

use ddpm_core::{DecoderKind, MeanKind, Objective, StartRule, VarianceKind};
use serde::{Deserialize, Serialize};

use super::number;

/// What `ddpm plot` prints of the figure that it drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// The file.
    pub out: String,
    /// The title.
    pub title: String,
    /// Name and unit of the abscissa.
    pub x: String,
    /// Name and unit of the ordinate.
    pub y: String,
    /// The curves.
    pub series: Vec<PlotSeries>,
    /// What is shown, for the text beside the figure.
    #[serde(default)]
    pub caption: String,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlotSeries {
    /// Empty for a series that needs no key.
    pub name: String,
    /// In the order in which they are joined.
    pub points: Vec<PlotPoint>,
}

/// One point, in the units of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlotPoint {
    /// The abscissa.
    #[serde(deserialize_with = "number")]
    pub x: f64,
    /// The ordinate.
    #[serde(deserialize_with = "number")]
    pub y: f64,
    /// Half the length of the error bar; 0 for none.
    #[serde(rename = "stderr", deserialize_with = "number")]
    pub standard_error: f64,
}

/// What `ddpm report` prints of the folder that it read and the page that it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The folder.
    pub folder: String,
    /// Profiles in it.
    pub profiles: Vec<ReportedProfile>,
    /// Schedules files.
    pub schedules: Vec<ReportedSchedules>,
    /// Grids of samples.
    pub images: Vec<ReportedImage>,
    /// Files that `ddpm bpd --json` printed.
    pub evaluations: Vec<String>,
    /// Files that `ddpm fid --json` printed.
    pub distances: Vec<String>,
    /// The file of the paper's Table 5.
    pub table5: Option<String>,
    /// The number of [stamps](Stamp).
    pub commands: usize,
    /// Files that the page does not use.
    pub left_out: Vec<LeftOut>,
    /// The page.
    pub out: String,
    /// Anchors of its sections, in their order.
    pub sections: Vec<String>,
    /// What it does not show, and what that would need.
    pub missing: Vec<String>,
}

/// A profile of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProfile {
    /// Its place in the folder.
    pub file: String,
    /// SHA-256 of the file.
    #[serde(rename = "sha256")]
    pub file_sha256: String,
    /// The image set.
    pub data_name: String,
    /// `train` or `test`.
    pub split: String,
    /// Whether the images stand in for a set that could not be had.
    pub stand_in: bool,
    /// The number of images.
    pub images: u64,
    /// The number of timesteps evaluated.
    pub timesteps: usize,
    /// Whether it holds every block of its run.
    pub complete: bool,
}

/// A schedules file of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedSchedules {
    /// Its place in the folder.
    pub file: String,
    /// SHA-256 of the file.
    #[serde(rename = "sha256")]
    pub file_sha256: String,
    /// The variance of the reverse steps.
    pub variance: VarianceKind,
    /// Their mean.
    #[serde(default = "super::likelihood::network_mean")]
    pub mean: MeanKind,
    /// The decoder convention.
    pub decoder: DecoderKind,
    /// What the schedules are best for.
    pub objective: Objective,
    /// Where paths may end.
    pub start: StartRule,
    /// The budgets.
    pub steps: Vec<usize>,
}

/// A picture of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedImage {
    /// Its place in the folder.
    pub file: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether the record of its samples lies beside it.
    pub record: bool,
}

/// A file that a report does not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its place in the folder.
    pub file: String,
    /// The reason.
    pub why: String,
}

/// What a file was made with, for a report: the program that runs `ddpm` stage by stage writes one per stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The name of the stage.
    pub stage: String,
    /// The command line.
    pub command: String,
    /// SHA-256 of what was read, by path.
    pub inputs: BTreeMap<String, String>,
}
