//! `ddpm bpd`: direct evaluation of one path, every term of every image.

use ddpm_core::DecoderKind;
use ddpm_data::Split;
use ddpm_eval::{BitsPerDim, BitsPerDimPlan, Noise, bits_per_dim};
use ddpm_files::TensorFile;
use ddpm_schedule::results;
use ndarray::{ArrayD, Axis};

use crate::args::Bpd;
use crate::error::{Error, Result};
use crate::input::{
    ChainChoice, Network, PathFlags, RunImages, check_size, data_path, limit, parse_list, split,
    with_labels,
};
use crate::output::{self, Voice};
use crate::render::{
    Indices, ProgressLine, TextTable, clip, describe_images, mean_with_error, plural,
};

/// Runs the command.
pub(crate) fn run(args: &Bpd, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    let flags = PathFlags {
        schedule: args.schedule.as_deref(),
        steps: args.steps,
        path: args.path.as_deref(),
        zero_based: args.zero_based,
        conventions: &args.conventions,
        profile: args.profile.as_deref(),
        clip_denoised: args.clip.clip_denoised,
    };
    let choice = ChainChoice::of(&flags, &network, voice)?;
    if choice.schedule.decoder == DecoderKind::None {
        voice.warn(
            "decoder none: the total lacks the term of the step onto the data and is no bits/dim of images",
        );
    }
    let only = match &args.terms {
        Some(text) => Some(terms(text, &choice, args.zero_based)?),
        None => None,
    };
    let (images, noise, network) = open_images(args, network, voice)?;
    let plan = BitsPerDimPlan {
        schedule: choice.schedule.clone(),
        images: images.chosen.clone(),
        noise: match &noise {
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
    let progress = ProgressLine::new(voice);
    let found = bits_per_dim(network.denoiser(), &images.set, &plan, &progress)?;
    let report = Report {
        network: &network,
        choice: &choice,
        images: &images,
        found: &found,
        indices: Indices::from_flag(args.zero_based),
    };
    if args.json {
        output::print_json(&report.result())
    } else {
        output::print_text(&report.table())
    }
}

/// The timesteps of `--terms`, each a node of the path.
fn terms(text: &str, choice: &ChainChoice, zero_based: bool) -> Result<Vec<usize>> {
    let shift = usize::from(zero_based);
    let nodes = choice.schedule.path.nodes();
    let terms = parse_list("--terms", text, "timesteps of the path")?;
    terms
        .into_iter()
        .map(|shown| {
            let t = shown.saturating_add(shift);
            let known = Some(t).filter(|t| *t > 0 && nodes.contains(t));
            known.ok_or_else(|| {
                Error::flag(
                    "--terms",
                    format!("expected timesteps of the path, found {shown}"),
                )
            })
        })
        .collect()
}

/// The images and, where it is given, their noise; the network comes back knowing their size.
fn open_images(
    args: &Bpd,
    network: Network,
    voice: Voice,
) -> Result<(RunImages, Option<ArrayD<f32>>, Network)> {
    let Some(file) = &args.images else {
        let (run, network) = RunImages::open(&args.data, network, args.class, args.seed, voice)?;
        return Ok((run, None, network));
    };
    let split = Split::Test;
    let cifar_test = if TensorFile::open(file)?.has("cifar_test_index") {
        Some(ddpm_data::open(&data_path(&args.data)?, split, None)?)
    } else {
        None
    };
    let set = ddpm_data::open_fixed_images(file, cifar_test.as_ref())?;
    let network = network.fit_to(set.shape(), voice)?;
    check_size(file, &set, &network)?;
    let set = with_labels(file, set, args.class, &network)?;
    let count = limit(&args.data, set.len())?;
    let noise = match &args.noise {
        Some(noise) => {
            let shape = [&[set.len()], set.shape()].concat();
            let all = ddpm_data::read_noise(noise, &shape)?;
            Some(all.slice_axis(Axis(0), (..count).into()).to_owned())
        }
        None => None,
    };
    let chosen = (0..count).collect();
    Ok((RunImages { set, split, chosen }, noise, network))
}

/// Everything that is printed.
struct Report<'a> {
    network: &'a Network,
    choice: &'a ChainChoice,
    images: &'a RunImages,
    found: &'a BitsPerDim,
    indices: Indices,
}

impl Report<'_> {
    fn result(&self) -> results::BitsPerDim {
        let denoiser = self.network.denoiser();
        let terms = self.found.terms.iter().map(|term| results::Term {
            t: self.indices.show(term.t),
            s: self.indices.show(term.s),
            bpd: term.bits_per_dim.clone(),
        });
        results::BitsPerDim {
            train_steps: denoiser.train_steps(),
            noise_schedule: denoiser.noise_schedule().name_or_custom(),
            path: self.indices.show_path(self.choice.schedule.path.nodes()),
            variance: self.choice.scoring.variance,
            mean: self.choice.scoring.mean,
            decoder: self.choice.scoring.decoder,
            scored_decoder: self.choice.schedule.decoder,
            clip_denoised: self.choice.clip_denoised,
            precision: denoiser.precision().to_string(),
            data_name: self.images.set.name().to_owned(),
            stand_in: self.images.set.stand_in(),
            images: self.images.chosen.clone(),
            terms: terms.collect(),
            prior_bpd: self.found.prior.clone(),
            total_bpd: self.found.total.clone(),
            bpd: None,
            standard_error: None,
        }
        .with_mean()
    }

    fn table(&self) -> String {
        let set = &self.images.set;
        let count = self.images.chosen.len() as u64;
        let mut text = TextTable::new("t: | s: | bits/dim:")
            .title(format!(
                "Bits/dim, direct evaluation: {}, {} decoder, {}, {}",
                self.choice.scoring.kernel(),
                self.choice.schedule.decoder,
                clip(Some(self.choice.clip_denoised)),
                plural(self.choice.schedule.path.steps() as u64, "step")
            ))
            .title(format!(
                "{}, T={} {}, {}",
                describe_images(set.name(), count, set.stand_in()),
                self.network.denoiser().train_steps(),
                self.network.denoiser().noise_schedule().name_or_custom(),
                self.network.denoiser().precision()
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
        if self.choice.schedule.decoder != self.choice.scoring.decoder {
            text.note(format!(
                "K=1 has no second step for the {} decoder: {} is in its place, not comparable with K>1.",
                self.choice.scoring.decoder, self.choice.schedule.decoder
            ));
        }
        if count > 1 {
            text.note("± one standard error over images.");
        }
        text.to_string()
    }
}
