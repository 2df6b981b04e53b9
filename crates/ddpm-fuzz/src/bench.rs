//! Valid inputs of every kind, made by the built `ddpm` itself, and the command lines that read and write them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use ndarray::Array;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;
use xtask::root;

/// A folder with valid inputs, and the program.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) ddpm: PathBuf,
}

/// A command line; words in braces are files of the bench, `{out}` is where the output goes.
pub(crate) struct Line {
    pub(crate) words: &'static str,
    /// The name of what is written, where something is.
    pub(crate) out: Option<&'static str>,
    /// Whether an interrupted run is gone on with by `--resume`.
    pub(crate) resumes: bool,
}

const fn reads(words: &'static str) -> Line {
    Line {
        words,
        out: None,
        resumes: false,
    }
}

const fn writes(words: &'static str, out: &'static str) -> Line {
    Line {
        words,
        out: Some(out),
        resumes: false,
    }
}

const fn resumes(words: &'static str, out: &'static str) -> Line {
    Line {
        words,
        out: Some(out),
        resumes: true,
    }
}

/// What the weights of the network do not tell is in `network.model.json`.
pub(crate) const LINES: [Line; 33] = [
    resumes(
        "profile {network.pt} --data {images.safetensors} --limit 2 --evaluations 40 --images-per-block 1 --save-every 0 --out {out}",
        "p.safetensors",
    ),
    writes("profile --import {errors.npz} --out {out}", "i.safetensors"),
    writes(
        "merge {shard0.profile} {shard1.profile} --out {out}",
        "m.safetensors",
    ),
    resumes(
        "trajectory {network.pt} --count 2 --nodes 8 --steps 2 --sampler ddim --save-every 0 --out {out}",
        "t.safetensors",
    ),
    resumes(
        "trajectory {network.pt} --forward --count 2 --nodes 6 --data {images.safetensors} --save-every 0 --out {out}",
        "f.safetensors",
    ),
    writes(
        "schedule {one.profile} --steps 2,5 --variance spectral --mean calibrated --folds 2 --out {out}",
        "s.json",
    ),
    writes(
        "schedule --mse {errors.npz} --steps 3 --variance analytic --out {out}",
        "e.json",
    ),
    writes(
        "schedule --mse {mse.csv} --noise-schedule cosine --steps 3 --out {out}",
        "c.json",
    ),
    writes(
        "schedule {flow.safetensors} --objective quality --sampler ddim --steps 2 --out {out}",
        "q.json",
    ),
    resumes(
        "tune {network.pt} --steps 2 --samples 64 --features raw --objective kid --trajectories {flow.safetensors} --reference {images.safetensors} --out {out}",
        "u.json",
    ),
    resumes(
        "sample {network.pt} --path even:2 --count 3 --batch 1 --out {out}",
        "g.png",
    ),
    resumes(
        "sample {network.pt} --schedule {schedules.json} --steps 3 --count 3 --batch 1 --out {out}",
        "g.npz",
    ),
    resumes(
        "sample {bed.json} --path even:2 --sampler ddim --count 3 --batch 1 --out {out}",
        "g.safetensors",
    ),
    writes(
        "export {schedules.json} --format diffusers --out {out}",
        "x.py",
    ),
    writes("export {schedules.json} --format csv --out {out}", "x.csv"),
    writes(
        "export {schedules.json} --format npy --steps 3 --out {out}",
        "x.npy",
    ),
    writes("plot timesteps {schedules.json} --out {out}", "y.svg"),
    writes(
        "plot bits-per-dim {one.profile} {two.profile} --steps 2,4,8 --out {out}",
        "y.png",
    ),
    writes("plot errors {one.profile} --out {out}", "z.svg"),
    writes("report {results} --out {out}", "r.html"),
    writes(
        "fid {images.safetensors} --features raw --allow-few --save-statistics {out}",
        "w.npz",
    ),
    writes(
        "predict {network.pt} --input {in.safetensors} --output {out}",
        "o.safetensors",
    ),
    reads("inspect {network.pt} --json"),
    reads("inspect {network.pt} --precision bf16"),
    reads("transitions --noise-schedule cosine --train-steps 20 --path even:4"),
    reads("solve {costs.npy} --budgets 2,5 --json"),
    reads("table {one.profile} {two.profile} --steps 2,5 --variance fixed-small,spectral"),
    reads("bpd {network.pt} --data {images.safetensors} --limit 2 --path even:3 --json"),
    reads(
        "bpd {network.pt} --data {images.safetensors} --limit 2 --schedule {schedules.json} --steps 3",
    ),
    reads(
        "bpd {network.pt} --images {in-images.safetensors} --noise {noise.safetensors} --path even:2",
    ),
    reads("fid {images.safetensors} {statistics.npz} --features raw --allow-few --json"),
    reads("export {schedules.json} --format comfyui --steps 3"),
    reads("bench {network.pt} --batch 1"),
];

impl Bench {
    /// Makes the inputs.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let bench = Self {
            ddpm: xtask::build_ddpm()?,
            folder: tempfile::tempdir()?,
        };
        let golden = root().join("tests/golden");
        for (from, to) in [
            ("unet-hybrid-16px.pt", "network.pt"),
            ("unet-hybrid-16px.io.safetensors", "in.safetensors"),
            ("squared-errors.npz", "errors.npz"),
        ] {
            std::fs::copy(golden.join(from), bench.at(to))?;
        }
        let write = |name: &str, text: &str| std::fs::write(bench.at(name), text);
        write(
            "network.model.json",
            r#"{"num_heads": 2, "image_size": 16, "train_steps": 40, "noise_schedule": "cosine", "rescale_timesteps": true}"#,
        )?;
        write(
            "bed.json",
            r#"{"format": "ddpm-test-bed", "version": 1, "pattern": "rings", "points": 24, "dimensions": 2, "width": 0.02}"#,
        )?;
        let rows: Vec<String> = (1..=20)
            .map(|t| format!("{t},{}\n", f64::from(t) * 1e-3))
            .collect();
        write("mse.csv", &format!("t,mse\n{}", rows.concat()))?;
        bench.images("images.safetensors", "x_start", 6, 0.0)?;
        bench.images("in-images.safetensors", "x_start", 2, 1.0)?;
        bench.images("noise.safetensors", "noise", 2, 2.0)?;
        let costs = Array::from_shape_fn((9, 9), |(s, t): (usize, usize)| {
            if s < t {
                ((t - s) * (t - s)) as f64
            } else {
                0.0
            }
        });
        ddpm_files::npy::write_npy(&mut std::fs::File::create(bench.at("costs.npy"))?, &costs)?;
        for line in [
            "profile {network.pt} --data {images.safetensors} --limit 4 --out one.profile",
            "profile {network.pt} --data {images.safetensors} --limit 4 --seed 1 --split train --out two.profile",
            "profile {network.pt} --data {images.safetensors} --limit 2 --images-per-block 1 --shard 0/2 --out shard0.profile",
            "profile {network.pt} --data {images.safetensors} --limit 2 --images-per-block 1 --shard 1/2 --out shard1.profile",
            "schedule {one.profile} --steps 2,3,5 --folds 0 --out schedules.json",
            "trajectory {network.pt} --count 2 --nodes 8 --steps 2 --sampler ddim --out flow.safetensors",
            "fid {images.safetensors} --features raw --allow-few --save-statistics statistics.npz",
        ] {
            bench.make(line)?;
        }
        std::fs::create_dir(bench.at("results"))?;
        for name in ["schedules.json", "one.profile"] {
            std::fs::copy(bench.at(name), bench.at("results").join(name))?;
        }
        Ok(bench)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The words of a line with its files.
    pub(crate) fn words(&self, words: &str, out: &Path) -> Vec<String> {
        let named = |word: &str| match word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            Some("out") => out.display().to_string(),
            Some(name) => self.at(name).display().to_string(),
            None => word.to_owned(),
        };
        words.split(' ').map(named).collect()
    }

    /// `ddpm` with words, in a folder of its own, with one thread.
    pub(crate) fn command(&self, program: &[&str], words: &[String], folder: &Path) -> Command {
        let mut command = match program {
            [] => Command::new(&self.ddpm),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.ddpm);
                command
            }
        };
        command
            .args(words)
            .current_dir(folder)
            .env_remove("DDPM_DATA")
            .env("RAYON_NUM_THREADS", "1")
            .stdin(std::process::Stdio::null());
        command
    }

    fn make(&self, line: &str) -> anyhow::Result<()> {
        let words = self.words(line, Path::new(""));
        let output = self.command(&[], &words, self.folder.path()).output()?;
        if !output.status.success() {
            bail!("ddpm {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Smooth images of the network's shape, or their noise.
    fn images(&self, name: &str, key: &str, count: usize, phase: f32) -> anyhow::Result<()> {
        let value = |i: usize| (((i % 977) as f32 * 0.37 + phase).sin() * 127.0).round() / 127.5;
        let bytes: Vec<u8> = (0..count * 3 * 256)
            .flat_map(|i| value(i).to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::F32, vec![count, 3, 16, 16], &bytes)?;
        let file = safetensors::serialize([(key, view)], None)?;
        std::fs::write(self.at(name), file).with_context(|| format!("failed to write {name}"))
    }
}
