//! What is measured, by the array and by one process.

use std::path::Path;
use std::process::Command;

use xtask::root;

/// Tasks of the array. Each has a quarter of the 32 blocks of images.
pub(crate) const SHARDS: usize = 4;

/// A variable of `deploy/slurm/profile.sbatch`, the flag of `ddpm profile` that it stands for, and its value here.
const SETTINGS: [(&str, &str, &str); 5] = [
    ("SPLIT", "--split", "train"),
    ("SEED", "--seed", "7"),
    ("LIMIT", "--limit", "64"),
    ("IMAGES_PER_BLOCK", "--images-per-block", "2"),
    ("EVALUATIONS", "--evaluations", "4096"),
];

const CHECKPOINT: &str = "datasets/cifar10-small.safetensors";
const IMAGES: &str = "datasets/cifar10-stand-in";

/// Tells the job files through their variables.
pub(crate) fn by_variables(command: &mut Command) {
    command
        .env("CHECKPOINT", root().join(CHECKPOINT))
        .env("DATA", root().join(IMAGES))
        .env("SHARDS", SHARDS.to_string())
        .envs(SETTINGS.map(|(variable, _, value)| (variable, value)));
}

/// The same without shards.
pub(crate) fn by_one_process(ddpm: &Path, out: &Path) -> Command {
    let mut command = Command::new(ddpm);
    command
        .args(["profile", "--quiet"])
        .arg(root().join(CHECKPOINT))
        .arg("--data")
        .arg(root().join(IMAGES))
        .arg("--out")
        .arg(out);
    for (_, flag, value) in SETTINGS {
        command.args([flag, value]);
    }
    command
}
