//! Lab.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "an example, not a library")]

mod gits;

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use ddpm::core::{FlowSolver, Path, Stride};
use ddpm::eval::data::Split;
use ddpm::eval::{
    FlowPlan, GrowthPlan, ProfileOrigin, Silent, end_points, measure_growth, reference_trajectories, squared_distances,
    write_atomic,
};
use ddpm::model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser};
use ddpm::profile::trajectory::{QualityModel, Trajectories, Weighting, reference_grid};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let lab = Lab::new(FilePath::new(&words[0]), FilePath::new(&words[1]))?;
    let starts: usize = words[2].parse()?;
    let steps: Vec<usize> = words[3].split(',').map(|w| w.parse().unwrap()).collect();
    let train = lab.reference("train", 1, 24, 128)?;
    let test = lab.end_reference(2, starts, 384)?;
    let check = lab.end_reference(2, starts, 192)?;
    println!("reference 192 vs 384: {:.5}", rms(&squared_distances(&check, &test, 3072)));
    let model = QualityModel::new(&train)?;
    for &solver in &FlowSolver::ALL {
        let g: Vec<String> = (1..=128).step_by(9).map(|i| format!("{}:{:.2}", model.nodes()[i], model.growth(solver, i))).collect();
        println!("growth {solver}: {}", g.join(" "));
    }
    let karras = lab.plain_reference("gits", 1, 24, &Stride::Karras(60).path(lab.denoiser.noise_schedule())?)?;
    let gits = gits::Gits::new(&karras, lab.denoiser.noise_schedule());
    let own = gits::Gits::new(&train, lab.denoiser.noise_schedule());
    let s = lab.denoiser.noise_schedule();
    for solver in FlowSolver::ALL {
        if words.len() > 4 && words[4] != solver.to_string() { continue; }
        let mut rows: Vec<(String, Vec<Path>)> = Vec::new();
        let strides: [(&str, fn(usize) -> Stride); 4] =
            [("even", Stride::Even), ("quadratic", Stride::Quadratic), ("logsnr", Stride::LogSnr), ("karras", Stride::Karras)];
        for (name, stride) in strides {
            rows.push((name.into(), steps.iter().map(|&k| stride(k).path(s)).collect::<Result<_, _>>()?));
        }
        rows.push(("gits karras61".into(), steps.iter().map(|&k| gits.path(k, gits::COEFFICIENT)).collect()));
        rows.push(("gits grid".into(), steps.iter().map(|&k| own.path(k, gits::COEFFICIENT)).collect()));
        for (name, w) in [
            ("p2", Weighting { power: 2.0, growth: true, extrapolation: 1.0 }),
            ("p1", Weighting { power: 1.0, growth: true, extrapolation: 1.0 }),
            ("p2 nogrowth", Weighting { power: 2.0, growth: false, extrapolation: 1.0 }),
            ("p1 nogrowth", Weighting { power: 1.0, growth: false, extrapolation: 1.0 }),
            ("p2 x0", Weighting { power: 2.0, growth: true, extrapolation: 0.0 }),
            ("p1 x0", Weighting { power: 1.0, growth: true, extrapolation: 0.0 }),
            ("p2 x2", Weighting { power: 2.0, growth: true, extrapolation: 2.0 }),
            ("p1 x2", Weighting { power: 1.0, growth: true, extrapolation: 2.0 }),
        ] {
            if solver == FlowSolver::Ddim && w.extrapolation != 1.0 { continue; }
            let best = model.best_paths(solver, w, &steps)?;
            rows.push((name.into(), best.into_iter().map(|b| b.1).collect()));
        }
        println!("{solver}");
        let mut cache = lab.cache(starts)?;
        for (name, paths) in rows {
            let mut line = format!("{name:16}");
            for path in &paths {
                let key = format!("{solver} {path}");
                let d = match cache.get(&key) {
                    Some(&d) => d,
                    None => {
                        let ends = end_points(&lab.denoiser, s, &lab.plan(2, starts), path, solver, &Silent)?;
                        let d = rms(&squared_distances(&ends, &test, 3072));
                        cache.insert(key, d);
                        lab.save(starts, &cache)?;
                        d
                    }
                };
                line += &format!(" {d:7.4}");
            }
            println!("{line}   {}", paths[0]);
        }
    }
    Ok(())
}

fn rms(squares: &[f64]) -> f64 {
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}

struct Lab {
    denoiser: UNetDenoiser,
    origin: ProfileOrigin,
    folder: PathBuf,
}

impl Lab {
    fn new(checkpoint: &FilePath, folder: &FilePath) -> Outcome<Self> {
        let options = ModelOptions::default();
        let file = Checkpoint::open(checkpoint)?;
        let unet = UNet::load_on(&file, &options, Backend::Packed(Arithmetic::F32))?;
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            denoiser: UNetDenoiser::new(unet, &options)?,
            origin: ProfileOrigin {
                checkpoint_sha256: file.sha256().to_owned(),
                split: Split::Train,
                noise_schedule: "cosine".into(),
                rescale_timesteps: true,
                precision: "f32".into(),
                extra: BTreeMap::new(),
            },
            folder: folder.to_owned(),
        })
    }

    fn plan(&self, seed: u64, count: usize) -> FlowPlan {
        FlowPlan { first: 0, count, seed, labels: None, clip_denoised: true, batch: 8 }
    }

    fn plain_reference(&self, name: &str, seed: u64, count: usize, grid: &Path) -> Outcome<Trajectories> {
        let file = self.folder.join(format!("{name}-{seed}-{count}-{}.safetensors", grid.steps()));
        if file.exists() {
            return Ok(Trajectories::from_bytes(&std::fs::read(file)?)?);
        }
        let s = self.denoiser.noise_schedule();
        let reference = reference_trajectories(&self.denoiser, s, &self.plan(seed, count), grid, &self.origin, &Silent)?;
        write_atomic(&file, &reference.to_bytes())?;
        Ok(reference)
    }

    fn reference(&self, name: &str, seed: u64, count: usize, nodes: usize) -> Outcome<Trajectories> {
        let file = self.folder.join(format!("{name}-{seed}-{count}-{nodes}-growth.safetensors"));
        if file.exists() {
            return Ok(Trajectories::from_bytes(&std::fs::read(file)?)?);
        }
        let s = self.denoiser.noise_schedule();
        let begin = std::time::Instant::now();
        let reference = self.plain_reference(name, seed, count, &reference_grid(s, nodes)?)?;
        eprintln!("reference {:?}", begin.elapsed());
        let plan = GrowthPlan::default();
        eprintln!("growth evaluations: {}", plan.evaluations(reference.nodes()) * count);
        let growth = measure_growth(&self.denoiser, s, &self.plan(seed, count), &reference, &plan, &Silent)?;
        eprintln!("growth {:?}", begin.elapsed());
        let reference = reference.with_growth(growth)?;
        write_atomic(&file, &reference.to_bytes())?;
        Ok(reference)
    }

    fn end_reference(&self, seed: u64, count: usize, nodes: usize) -> Outcome<Vec<f32>> {
        let file = self.folder.join(format!("ends-{seed}-{count}-{nodes}.f32"));
        if let Ok(bytes) = std::fs::read(&file) {
            return Ok(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect());
        }
        let s = self.denoiser.noise_schedule();
        let grid = reference_grid(s, nodes)?;
        let ends = end_points(&self.denoiser, s, &self.plan(seed, count), &grid, FlowSolver::DpmSolver2M, &Silent)?;
        let bytes: Vec<u8> = ends.iter().flat_map(|x| x.to_le_bytes()).collect();
        write_atomic(&file, &bytes)?;
        Ok(ends)
    }

    fn cache(&self, starts: usize) -> Outcome<BTreeMap<String, f64>> {
        match std::fs::read_to_string(self.folder.join(format!("cache-{starts}.json"))) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(_) => Ok(BTreeMap::new()),
        }
    }

    fn save(&self, starts: usize, cache: &BTreeMap<String, f64>) -> Outcome<()> {
        Ok(write_atomic(&self.folder.join(format!("cache-{starts}.json")), serde_json::to_string_pretty(cache)?.as_bytes())?)
    }
}
