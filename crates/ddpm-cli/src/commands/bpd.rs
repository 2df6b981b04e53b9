//! `ddpm bpd`: direct evaluation of one path, every term of every image.

use ddpm_core::Denoiser;
use ddpm_eval::data::{self, ImageSet, Split};
use ddpm_eval::{BitsPerDim, BitsPerDimPlan, Noise, bits_per_dim};
use ddpm_files::TensorFile;
use ndarray::Array4;
use serde_json::json;

use crate::args::Bpd;
use crate::error::{Error, Result};
use crate::input::{
    ChainChoice, Network, PathFlags, RunImages, data_path, limit, parse_list, split,
};
use crate::output::{self, Voice};
use crate::render::{
    Align, Indices, ProgressLine, TextTable, clip, describe_images, mean_with_error, plural,
};

/// Runs the command.
pub(crate) fn run(args: &Bpd, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    let choice = match (&args.schedule, args.steps) {
        (Some(file), Some(steps)) => ChainChoice::from_schedules(
            file,
            steps,
            &network,
            args.clip.clip_denoised,
            args.conventions.decoder_bin_width,
            voice,
        )?,
        (Some(_), None) => return Err(Error::usage("--schedule needs --steps K")),
        (None, _) => {
            let flags = PathFlags {
                path: args.path.as_deref(),
                zero_based: args.zero_based,
                conventions: &args.conventions,
                profile: args.profile.as_deref(),
                clip_denoised: args.clip.clip_denoised,
            };
            ChainChoice::from_flags(&flags, &network, voice)?
        }
    };
    let only = match &args.terms {
        Some(text) => Some(terms(text, &choice, args.zero_based)?),
        None => None,
    };
    let (images, network) = Images::open(args, network)?;
    let plan = BitsPerDimPlan {
        path: choice.path.clone(),
        variance: choice.variance.clone(),
        decoder: choice.decoder,
        images: images.chosen.clone(),
        noise: match &images.noise {
            Some(noise) => Noise::Given(noise),
            None => Noise::Seed {
                seed: args.seed,
                split: split(&args.data),
            },
        },
        clip_denoised: choice.clip_denoised,
        only,
        batch: network.batch,
    };
    let found = bits_per_dim(
        &network.denoiser,
        network.denoiser.noise_schedule(),
        &images.set,
        &plan,
        &ProgressLine::new(voice),
    )?;
    let report = Report {
        network: &network,
        choice: &choice,
        images: &images,
        found: &found,
        indices: Indices::from_flag(args.zero_based),
    };
    if args.json {
        report.print_json()
    } else {
        output::print_text(&report.table())
    }
}

/// The timesteps of `--terms`, each a node of the path.
fn terms(text: &str, choice: &ChainChoice, zero_based: bool) -> Result<Vec<usize>> {
    let shift = usize::from(zero_based);
    let terms = parse_list("--terms", text, "timesteps of the path")?;
    terms
        .into_iter()
        .map(|shown| {
            let t = shown.saturating_add(shift);
            if t > 0 && choice.path.nodes().contains(&t) {
                Ok(t)
            } else {
                Err(Error::flag(
                    "--terms",
                    format!("expected timesteps of the path, found {shown}"),
                ))
            }
        })
        .collect()
}

/// The images, their order and their noise.
struct Images {
    set: ImageSet,
    chosen: Vec<usize>,
    noise: Option<Array4<f32>>,
}

impl Images {
    /// Opens the images; the network comes back knowing their size.
    fn open(args: &Bpd, network: Network) -> Result<(Self, Network)> {
        let Some(file) = &args.images else {
            let (run, network) = RunImages::open(&args.data, network, args.class, args.seed)?;
            let images = Self {
                set: run.set,
                chosen: run.chosen,
                noise: None,
            };
            return Ok((images, network));
        };
        let cifar_test = if TensorFile::open(file)?.has("cifar_test_index") {
            Some(data::open(&data_path(&args.data)?, Split::Test, None)?)
        } else {
            None
        };
        let mut set = data::open_fixed_images(file, cifar_test.as_ref())?;
        let network = network.fit_to(set.shape())?;
        let shape = network.denoiser.image_shape();
        if set.shape() != shape {
            let show = |s: [usize; 3]| format!("{}x{}x{}", s[0], s[1], s[2]);
            return Err(Error::file(
                file,
                format!(
                    "wrong image size: expected {} (the model's), found {} (channels x height x width)",
                    show(shape),
                    show(set.shape())
                ),
            ));
        }
        if let Some(class) = args.class {
            set = set.with_class(class);
        }
        let count = limit(&args.data, set.len())?;
        let noise = match &args.noise {
            Some(noise) => {
                let [c, h, w] = shape;
                let all = data::read_noise(noise, [set.len(), c, h, w])?;
                Some(all.slice_move(ndarray::s![..count, .., .., ..]))
            }
            None => None,
        };
        let images = Self {
            set,
            chosen: (0..count).collect(),
            noise,
        };
        Ok((images, network))
    }
}

/// Everything that is printed.
struct Report<'a> {
    network: &'a Network,
    choice: &'a ChainChoice,
    images: &'a Images,
    found: &'a BitsPerDim,
    indices: Indices,
}

impl Report<'_> {
    fn print_json(&self) -> Result<()> {
        let terms: Vec<_> = self
            .found
            .terms
            .iter()
            .map(|term| json!({"t": self.indices.show(term.t), "s": self.indices.show(term.s), "bpd": term.bits_per_dim}))
            .collect();
        output::print_json(&json!({
            "T": self.network.denoiser.train_steps(),
            "noise_schedule": self.network.noise_schedule_name(),
            "path": self.indices.show_path(self.choice.path.nodes()),
            "variance": self.choice.variance_name,
            "decoder": self.choice.decoder_name,
            "scored_decoder": self.choice.scored_decoder,
            "clip_denoised": self.choice.clip_denoised,
            "precision": self.network.precision(),
            "data_name": self.images.set.name(),
            "stand_in": self.images.set.stand_in(),
            "images": self.images.chosen,
            "terms": terms,
            "prior_bpd": self.found.prior,
            "total_bpd": self.found.total,
        }))
    }

    fn table(&self) -> String {
        let set = &self.images.set;
        let count = self.images.chosen.len() as u64;
        let mut text = TextTable::new([
            ("t", Align::Right),
            ("s", Align::Right),
            ("bits/dim", Align::Right),
        ])
        .title(format!(
            "Bits/dim, direct evaluation: {} variance, {} decoder, {}, {}",
            self.choice.variance_name,
            self.choice.scored_decoder,
            clip(Some(self.choice.clip_denoised)),
            plural(self.choice.path.steps() as u64, "step")
        ))
        .title(format!(
            "{}, T={} {}, {}",
            describe_images(set.name(), count, set.stand_in()),
            self.network.denoiser.train_steps(),
            self.network.noise_schedule_name(),
            self.network.precision()
        ));
        for term in &self.found.terms {
            text.row([
                self.indices.show(term.t).to_string(),
                self.indices.show(term.s).to_string(),
                mean_with_error(&term.bits_per_dim),
            ]);
        }
        text.row([
            "prior".into(),
            String::new(),
            mean_with_error(&self.found.prior),
        ]);
        if let Some(total) = &self.found.total {
            text.row(["total".into(), String::new(), mean_with_error(total)]);
        }
        if self.choice.scored_decoder != self.choice.decoder_name {
            text.note(format!(
                "K=1 has no second step for the {} decoder: {} is in its place, not comparable with K>1.",
                self.choice.decoder_name, self.choice.scored_decoder
            ));
        }
        if count > 1 {
            text.note("± one standard error over images.");
        }
        text.to_string()
    }
}
