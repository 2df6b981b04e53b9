//! The networks of `tests/golden/diffusers`, computed by diffusers.

mod common;

use std::path::{Path, PathBuf};

use common::{Io, golden, io_at, numbers_at, worst};
use ddpm_core::{
    BetaCurve, Denoiser, NoiseSchedule, Parameterization, VarianceKind, learned_log_variance,
    predict_x0,
};
use ddpm_model::{
    Arithmetic, Backend, Checkpoint, Error, Family, ModelOptions, Source, UNet, UNetDenoiser,
};
use ndarray::{Array4, Axis, s};
use serde_json::{Value, json};

/// Folder, and what its scheduler says: T, prediction, variance.
const CASES: [(&str, usize, Parameterization, VarianceKind); 4] = [
    (
        "ddpm-pipeline",
        1000,
        Parameterization::Epsilon,
        VarianceKind::FixedLarge,
    ),
    (
        "v-prediction",
        200,
        Parameterization::V,
        VarianceKind::FixedSmall,
    ),
    (
        "learned-range",
        400,
        Parameterization::Epsilon,
        VarianceKind::Learned,
    ),
    (
        "without-attention",
        100,
        Parameterization::X0,
        VarianceKind::FixedSmall,
    ),
];

fn folder(name: &str) -> PathBuf {
    golden("diffusers").join(name)
}

fn load(path: &Path, backend: Backend) -> UNet {
    let checkpoint = Checkpoint::open(path).unwrap();
    UNet::load_on(&checkpoint, &ModelOptions::default(), backend).unwrap()
}

fn run(unet: &UNet, io: &Io) -> Array4<f32> {
    unet.forward(io.x.view(), &io.timesteps, io.y.as_deref())
        .unwrap()
}

#[test]
fn outputs_equal_those_of_diffusers() {
    for (name, ..) in CASES {
        let io = io_at(&folder(name).join("io.safetensors"));
        let unet = load(&folder(name), Backend::default());
        assert_eq!(unet.config().architecture.family, Family::Diffusers);
        let error = worst(&run(&unet, &io), &io.output);
        assert!(error < 2e-5, "{name}: {error:e}");
        let unet = load(&folder(name), Backend::Packed(Arithmetic::Bf16));
        let error = worst(&run(&unet, &io), &io.output);
        assert!(error > 0.0 && error < 5e-2, "{name}, bf16: {error:e}");
    }
}

/// Every image alone gives the same bits as in a batch.
#[test]
fn outputs_do_not_depend_on_the_batch() {
    for (name, ..) in CASES {
        let io = io_at(&folder(name).join("io.safetensors"));
        let unet = load(&folder(name), Backend::default());
        let together = run(&unet, &io);
        for image in 0..io.timesteps.len() {
            let x = io.x.slice(s![image..=image, .., .., ..]);
            let label = io.y.as_ref().map(|y| &y[image..=image]);
            let alone = unet
                .forward(x, &io.timesteps[image..=image], label)
                .unwrap();
            let same = alone
                .iter()
                .zip(together.index_axis(Axis(0), image))
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}, image {image}");
        }
    }
}

#[test]
fn the_process_is_that_of_the_scheduler() {
    for (name, train_steps, parameterization, variance) in CASES {
        let io_path = folder(name).join("io.safetensors");
        let io = io_at(&io_path);
        let unet = load(&folder(name), Backend::default());
        let denoiser = UNetDenoiser::new(unet, &ModelOptions::default()).unwrap();
        let schedule = denoiser.noise_schedule().clone();
        assert_eq!(denoiser.train_steps(), train_steps, "{name}");
        assert_eq!(denoiser.parameterization(), parameterization, "{name}");
        let config = denoiser.config();
        assert_eq!(config.variance.unwrap().value, variance, "{name}");
        assert_eq!(config.variance.unwrap().source, Source::Scheduler);
        assert_eq!(denoiser.shape()[1..], [16, 16]);

        // diffusers multiplies 1 - beta in f32.
        let alpha_bars = numbers_at(&io_path, "alphas_cumprod");
        assert_eq!(alpha_bars.len(), train_steps);
        for (i, expected) in alpha_bars.into_iter().enumerate() {
            let found = schedule.alpha_bar(i + 1);
            let tolerance = 1e-4 * expected + 2e-6;
            assert!(
                (found - expected).abs() < tolerance,
                "{name}, alpha_bar of index {i}: {found}, expected {expected}"
            );
        }
        check_step(name, &denoiser, &schedule, &io, &io_path);
    }
}

/// The predicted image, and the variance of the step down by one, of every golden image.
fn check_step(
    name: &str,
    denoiser: &UNetDenoiser,
    schedule: &NoiseSchedule,
    io: &Io,
    io_path: &Path,
) {
    let t: Vec<usize> = io.timesteps.iter().map(|&i| i as usize + 1).collect();
    let prediction = denoiser
        .predict(io.x.view().into_dyn(), &t, io.y.as_deref())
        .unwrap();
    let pixels = io.x.len() / t.len();
    let (expected_x0, expected_variance) =
        (numbers_at(io_path, "x0"), numbers_at(io_path, "variance"));
    for (image, &t) in t.iter().enumerate() {
        let of_image = image * pixels..(image + 1) * pixels;
        let x: Vec<f64> =
            io.x.index_axis(Axis(0), image)
                .iter()
                .map(|&x| f64::from(x))
                .collect();
        let mean: Vec<f32> = prediction
            .mean
            .index_axis(Axis(0), image)
            .iter()
            .copied()
            .collect();
        let mut x0 = vec![0.0; pixels];
        predict_x0(
            denoiser.parameterization(),
            schedule,
            t,
            &x,
            &mean,
            false,
            &mut x0,
        )
        .unwrap();
        for (found, expected) in x0.iter().zip(&expected_x0[of_image.clone()]) {
            // The f32 alpha_bar of diffusers divides by a small signal at the noisy end.
            let tolerance = 1e-3 * expected.abs().max(1.0);
            assert!(
                (found - expected).abs() < tolerance,
                "{name}, x0 at t = {t}: {found}, expected {expected}"
            );
        }
        let step = schedule.transition(t, t - 1);
        let raw = prediction.variance.as_ref();
        for (pixel, &expected) in expected_variance[of_image].iter().enumerate() {
            let found = match denoiser.config().variance.unwrap().value {
                VarianceKind::FixedSmall => step.posterior_variance,
                VarianceKind::FixedLarge => step.beta,
                _ => {
                    let raw = raw.unwrap().index_axis(Axis(0), image);
                    let raw = *raw.iter().nth(pixel).unwrap();
                    let v = (f64::from(raw) + 1.0) / 2.0;
                    learned_log_variance(v, step.log_beta, step.log_posterior_variance)
                }
            };
            let tolerance = 2e-3 * expected.abs();
            assert!(
                (found - expected).abs() < tolerance,
                "{name}, variance at t = {t}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_pipeline_its_network_and_its_weights_are_the_same_checkpoint() {
    let inner = folder("ddpm-pipeline").join("unet");
    let weights = inner.join("diffusion_pytorch_model.safetensors");
    let all =
        [folder("ddpm-pipeline"), inner, weights].map(|path| Checkpoint::open(&path).unwrap());
    for other in &all[1..] {
        assert_eq!(all[0].sha256(), other.sha256());
        assert_eq!(all[0].tensors(), other.tensors());
        let scheduler = other.diffusers().unwrap().scheduler.as_ref().unwrap();
        assert_eq!(scheduler.entries["variance_type"], json!("fixed_large"));
    }
    assert_eq!(all[0].place().to_string(), "unet");
    assert!(all[1].place().is_plain());
}

/// The averaged weights of a training checkpoint, under the names of old releases, are the network of the pipeline.
#[test]
fn averaged_weights_are_taken_out_of_a_training_checkpoint() {
    let path = folder("training").join("checkpoint.pt");
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(
        checkpoint.place().to_string(),
        "ema, names under module. (set aside: model)"
    );
    let unet = load(&path, Backend::default());
    let io = io_at(&folder("ddpm-pipeline").join("io.safetensors"));
    let new = load(&folder("ddpm-pipeline"), Backend::default());
    assert!(run(&unet, &io) == run(&new, &io));

    let raw = Checkpoint::open_part(&path, Some("model")).unwrap();
    assert_eq!(
        raw.place().to_string(),
        "model, names under module. (set aside: ema)"
    );
    let zeros = UNet::load(&raw, &ModelOptions::default()).unwrap();
    assert!(run(&zeros, &io).iter().all(|&x| x == 0.0));
    let error = Checkpoint::open_part(&path, Some("best")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`best`") && text.contains("`ema`"), "{text}");
}

#[test]
fn options_override_the_files() {
    let checkpoint = Checkpoint::open(&folder("ddpm-pipeline")).unwrap();
    let options = ModelOptions {
        train_steps: Some(500),
        noise_schedule: Some("cosine".into()),
        ..ModelOptions::default()
    };
    let unet = UNet::load(&checkpoint, &options).unwrap();
    let described = unet.config().describe();
    assert_eq!(described["T"], 500);
    assert_eq!(described["noise_schedule"], "cosine");
    assert_eq!(described["sources"]["T"], "flag");
    assert_eq!(
        described["sources"]["parameterization"],
        "scheduler_config.json"
    );
    assert_eq!(described["sources"]["block_out_channels"], "config.json");

    // Betas without a name belong to their number of timesteps.
    let checkpoint = Checkpoint::open(&folder("without-attention")).unwrap();
    let options = ModelOptions {
        train_steps: Some(500),
        ..ModelOptions::default()
    };
    let error = UNet::load(&checkpoint, &options).err().unwrap().to_string();
    assert!(
        error.contains("train_steps") && error.contains("100"),
        "{error}"
    );
}

/// A copy of a golden folder whose JSON files and weights a test may change.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(name: &str) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder(name)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        Self(copy)
    }

    fn set(&self, file: &str, key: &str, value: Value) {
        let path = self.0.path().join(file);
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json[key] = value;
        std::fs::write(path, json.to_string()).unwrap();
    }

    fn load(&self) -> Result<UNetDenoiser, Error> {
        let options = ModelOptions::default();
        let checkpoint = Checkpoint::open(self.0.path())?;
        UNetDenoiser::new(UNet::load(&checkpoint, &options)?, &options)
    }

    fn error(&self) -> String {
        self.load().err().expect("an error").to_string()
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_file_and_field() {
    let (config, scheduler) = ("config.json", "scheduler_config.json");
    for (file, key, value, words) in [
        (
            config,
            "_class_name",
            json!("UNet2DConditionModel"),
            "UNet2DModel",
        ),
        (
            config,
            "time_embedding_type",
            json!("fourier"),
            "positional",
        ),
        (config, "act_fn", json!("mish"), "silu"),
        (
            config,
            "class_embed_type",
            json!("timestep"),
            "num_class_embeds",
        ),
        (config, "mid_block_scale_factor", json!(1.5), "supported: 1"),
        (scheduler, "timestep_type", json!("continuous"), "discrete"),
        (scheduler, "use_flow_sigmas", json!(true), "false"),
        (
            config,
            "mid_block_type",
            json!("UNetMidBlock2DCrossAttn"),
            "UNetMidBlock2D",
        ),
        (
            config,
            "resnet_time_scale_shift",
            json!("spatial"),
            "scale_shift",
        ),
        (
            config,
            "down_block_types",
            json!(["SkipDownBlock2D", "DownBlock2D"]),
            "ResnetDownsampleBlock2D",
        ),
        (config, "up_block_types", json!(["UpBlock2D"]), "expected 2"),
        (config, "downsample_padding", json!(2), "0, 1"),
        (config, "downsample_type", json!("fir"), "conv, resnet"),
        (
            config,
            "block_out_channels",
            json!([16, 0]),
            "positive whole numbers",
        ),
        (
            config,
            "attention_head_dim",
            json!(5),
            "divisor of the 16 channels",
        ),
        (config, "norm_num_groups", json!(5), "divisor"),
        (config, "norm_eps", json!("small"), "a number"),
        (
            config,
            "freq_shift",
            json!(8),
            "less than the 8 frequencies",
        ),
        (config, "sample_size", json!([16, 32]), "two equal"),
        (config, "out_channels", json!(4), "expected in_channels = 3"),
        (
            config,
            "layers_per_block",
            json!(0),
            "positive whole number",
        ),
        (config, "encoder_hid_dim", json!(8), "supported fields"),
        (
            scheduler,
            "_class_name",
            json!("FlowMatchEulerDiscreteScheduler"),
            "DDPMScheduler",
        ),
        (
            scheduler,
            "beta_schedule",
            json!("laplace"),
            "squaredcos_cap_v2",
        ),
        (
            scheduler,
            "prediction_type",
            json!("flow_prediction"),
            "v_prediction",
        ),
        (
            scheduler,
            "variance_type",
            json!("learned"),
            "learned_range",
        ),
        (
            scheduler,
            "num_train_timesteps",
            json!(-1),
            "positive whole number",
        ),
        (
            scheduler,
            "trained_betas",
            json!([0.1, 0.2]),
            "num_train_timesteps = 200",
        ),
        (
            scheduler,
            "rescale_betas_zero_snr",
            json!("yes"),
            "true or false",
        ),
    ] {
        let copy = Copy::of("v-prediction");
        copy.set(file, key, value);
        let error = copy.error();
        for word in [file, key, words] {
            assert!(error.contains(word), "{key}: {word:?} is not in: {error}");
        }
    }
    let copy = Copy::of("v-prediction");
    copy.set(scheduler, "variance_type", json!("learned_range"));
    assert!(
        copy.error()
            .contains("learned does not fit 3 output channels")
    );
    copy.set(scheduler, "variance_type", json!("fixed_large"));
    copy.set(scheduler, "clip_sample", json!(true));
    copy.set(scheduler, "clip_sample_range", json!(2.0));
    assert!(copy.error().contains("clip_sample_range"));
}

/// Null is what diffusers makes of it: its default, but off for a switch.
#[test]
fn null_fields_mean_what_they_mean_to_diffusers() {
    let (config, scheduler) = ("config.json", "scheduler_config.json");
    for (file, key, same) in [
        (config, "norm_eps", json!(1e-5)),
        (config, "freq_shift", json!(0)),
        (config, "flip_sin_to_cos", json!(false)),
        (config, "center_input_sample", json!(false)),
        (config, "downsample_padding", json!(1)),
        (config, "downsample_type", json!("conv")),
        (config, "act_fn", json!("silu")),
        (config, "time_embedding_type", json!("positional")),
        (config, "mid_block_scale_factor", json!(1)),
        (scheduler, "num_train_timesteps", json!(1000)),
        (scheduler, "beta_schedule", json!("linear")),
        (scheduler, "prediction_type", json!("epsilon")),
        (scheduler, "rescale_betas_zero_snr", json!(false)),
        (scheduler, "clip_sample", json!(false)),
        (scheduler, "thresholding", json!(false)),
        (scheduler, "timestep_type", json!("discrete")),
    ] {
        let copy = Copy::of("v-prediction");
        if key == "prediction_type" {
            // Epsilon says nothing where no signal is left.
            copy.set(scheduler, "rescale_betas_zero_snr", json!(false));
        }
        let with = |value: Value| {
            copy.set(file, key, value);
            let loaded = copy.load().unwrap_or_else(|error| panic!("{key}: {error}"));
            loaded.config().clone()
        };
        let (null, given) = (with(json!(null)), with(same));
        assert_eq!(null.architecture, given.architecture, "{key}");
        assert_eq!(null.noise_schedule, given.noise_schedule, "{key}");
        assert_eq!(null.parameterization, given.parameterization, "{key}");
        assert_eq!(null.clip_denoised, given.clip_denoised, "{key}");
    }
    // Without its attention the middle has no place for these weights.
    let copy = Copy::of("v-prediction");
    copy.set(config, "add_attention", json!(null));
    let error = copy.error();
    assert!(error.contains("mid_block.attentions"), "{error}");
}

/// Until diffusers 0.16 a norm stood before the middle's attention whatever the other norms did, and no word told it.
#[test]
fn weights_tell_the_norm_that_old_releases_put_into_the_middle() {
    let io = io_at(&folder("learned-range").join("io.safetensors"));
    let of_groups = |groups: Value| {
        let copy = Copy::of("learned-range");
        copy.set("config.json", "attn_norm_num_groups", groups);
        run(&load(copy.0.path(), Backend::default()), &io)
    };
    let (old, given) = (of_groups(json!(null)), of_groups(json!(8)));
    assert_eq!(old, given);
    assert_ne!(old, of_groups(json!(4)));
}

/// What every class takes where its file is silent, as diffusers' own files say (`tests/golden/tools/scheduler_defaults.py`).
#[test]
fn absent_fields_have_the_defaults_of_their_class() {
    let defaults = std::fs::read(golden("diffusers").join("scheduler-defaults.json")).unwrap();
    let defaults: Value = serde_json::from_slice(&defaults).unwrap();
    let mut read = 0;
    for (class, theirs) in defaults["classes"].as_object().unwrap() {
        let copy = Copy::of("without-attention");
        let path = copy.0.path().join("scheduler_config.json");
        std::fs::write(&path, json!({"_class_name": class}).to_string()).unwrap();
        // Shifted by the number of frames.
        if class.starts_with("CogVideoX") {
            assert!(copy.error().contains("_class_name"), "{class}");
            continue;
        }
        let network = copy
            .load()
            .unwrap_or_else(|error| panic!("{class}: {error}"));
        let number = |key: &str| theirs[key].as_f64().unwrap();
        let (start, end) = (number("beta_start"), number("beta_end"));
        let curve = match theirs["beta_schedule"].as_str() {
            Some("linear") => BetaCurve::Linear,
            Some("scaled_linear") => BetaCurve::ScaledLinear,
            other => panic!("{class}: {other:?}"),
        };
        let steps = theirs["num_train_timesteps"].as_u64().unwrap() as usize;
        let expected = NoiseSchedule::from_curve(curve, start, end, steps).unwrap();
        let found = network.noise_schedule();
        assert_eq!(found.train_steps(), steps);
        for t in [1, 2, steps / 2, steps] {
            let (a, b) = (found.alpha_bar(t), expected.alpha_bar(t));
            assert!((a / b - 1.0).abs() < 1e-12, "{class}, t = {t}: {a} {b}");
        }
        let config = network.config();
        let clips = theirs["clip_sample"].as_bool().unwrap_or(false);
        assert_eq!(config.clip_denoised.unwrap().value, clips, "{class}");
        assert_eq!(config.parameterization.value, Parameterization::Epsilon);
        read += 1;
    }
    assert!(read > 20, "{read}");
}

/// A process that is not read is no matter for the network alone, and none where it is told otherwise.
#[test]
fn flags_override_a_process_that_is_not_read() {
    for (key, value) in [
        ("_class_name", json!("VQDiffusionScheduler")),
        ("use_flow_sigmas", json!(true)),
        ("timestep_type", json!("continuous")),
    ] {
        let copy = Copy::of("without-attention");
        copy.set("scheduler_config.json", key, value);
        let open = |options: &ModelOptions| {
            let checkpoint = Checkpoint::open(copy.0.path()).unwrap();
            UNet::load(&checkpoint, options).unwrap()
        };
        let none = ModelOptions::default();
        let error = UNetDenoiser::new(open(&none), &none).err().unwrap();
        assert!(error.to_string().contains(key), "{error}");
        let mut told = ModelOptions {
            train_steps: Some(1000),
            noise_schedule: Some("linear".into()),
            ..ModelOptions::default()
        };
        // What the network predicts nobody knows then.
        let error = UNetDenoiser::new(open(&told), &told).err().unwrap();
        assert!(error.to_string().contains("--parameterization"), "{error}");
        told.parameterization = Some(Parameterization::X0);
        let network = UNetDenoiser::new(open(&told), &told).unwrap();
        assert_eq!(network.noise_schedule().train_steps(), 1000);
    }
}

#[test]
fn the_word_for_the_prediction_before_diffusers_0_10_is_heeded() {
    for (told, expected) in [
        (json!(false), Parameterization::X0),
        (json!(true), Parameterization::Epsilon),
    ] {
        let copy = Copy::of("without-attention");
        let path = copy.0.path().join("scheduler_config.json");
        let old = json!({"_class_name": "DDPMScheduler", "predict_epsilon": told});
        std::fs::write(&path, old.to_string()).unwrap();
        let network = copy.load().unwrap();
        assert_eq!(network.config().parameterization.value, expected);
    }
}

/// DPMSolverMultistepScheduler writes `-Infinity`, as Python does; where a number is needed it is refused by name.
#[test]
fn numbers_that_only_python_writes_are_read() {
    let copy = Copy::of("without-attention");
    let path = copy.0.path().join("scheduler_config.json");
    let solver =
        r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
    std::fs::write(&path, solver).unwrap();
    assert!(!copy.load().unwrap().config().clip_denoised.unwrap().value);
    std::fs::write(&path, r#"{"beta_start": NaN}"#).unwrap();
    let error = copy.error();
    assert!(
        error.contains("beta_start") && error.contains("NaN"),
        "{error}"
    );
}

/// Every field with values that make no sense: an error or a network, and no panic.
#[test]
fn odd_values_never_panic() {
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(7),
        json!(0.5),
        json!(1e300),
        json!(999_999_999),
        json!(u64::MAX),
        json!(""),
        json!("linear"),
        json!([]),
        json!([0]),
        json!([1, 1e300]),
        json!([999_999_999, 16]),
        json!({}),
        json!(true),
    ];
    for file in ["config.json", "scheduler_config.json"] {
        let bytes = std::fs::read(folder("v-prediction").join(file)).unwrap();
        let entries: Value = serde_json::from_slice(&bytes).unwrap();
        for key in entries.as_object().unwrap().keys() {
            let copy = Copy::of("v-prediction");
            let mut loaded = 0;
            for value in &odd {
                copy.set(file, key, value.clone());
                loaded += usize::from(copy.load().is_ok());
            }
            // Some fields have no influence; none takes whatever it is given and computes with it.
            let free = ["dropout", "num_train_timesteps", "_diffusers_version"];
            let process = file == "scheduler_config.json";
            assert!(
                process || loaded < odd.len() || free.contains(&key.as_str()),
                "{key} takes everything"
            );
        }
    }
}

#[test]
fn weights_that_differ_from_the_config_are_named() {
    let copy = Copy::of("v-prediction");
    copy.set("config.json", "block_out_channels", json!([16, 48]));
    let error = copy.error();
    assert!(
        error.contains("wrong shape of key `down_blocks.1.resnets.0.conv1.weight`"),
        "{error}"
    );
    let copy = Copy::of("v-prediction");
    copy.set("config.json", "layers_per_block", json!(2));
    let error = copy.error();
    assert!(
        error.contains("missing key `down_blocks.0.resnets.1.norm1.weight`"),
        "{error}"
    );
    let copy = Copy::of("v-prediction");
    copy.set("config.json", "add_attention", json!(false));
    let error = copy.error();
    assert!(
        error.contains("extra keys `mid_block.attentions.0."),
        "{error}"
    );
    // Under the names of the file.
    let copy = Copy::of("training");
    copy.set("config.json", "layers_per_block", json!(2));
    let checkpoint = Checkpoint::open(&copy.0.path().join("checkpoint.pt")).unwrap();
    let error = UNet::load(&checkpoint, &ModelOptions::default())
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("`module.down_blocks.0.resnets.1.norm1.weight`"),
        "{text}"
    );
}

#[test]
fn incomplete_folders_say_what_is_missing() {
    let weights = "diffusion_pytorch_model.safetensors";
    let copy = Copy::of("v-prediction");
    let path = copy.0.path();
    std::fs::rename(path.join(weights), path.join("model.ckpt")).unwrap();
    let error = copy.error();
    assert!(
        error.contains("without weights") && error.contains(weights),
        "{error}"
    );
    std::fs::write(path.join(format!("{weights}.index.json")), "{}").unwrap();
    assert!(copy.error().contains("max_shard_size"), "{}", copy.error());
    std::fs::remove_file(path.join(format!("{weights}.index.json"))).unwrap();
    // A variant alone is taken, two of them are a question.
    let variant = |name: &str| path.join(format!("diffusion_pytorch_model.{name}.safetensors"));
    std::fs::rename(path.join("model.ckpt"), variant("fp16")).unwrap();
    assert!(copy.load().is_ok());
    std::fs::copy(variant("fp16"), variant("non_ema")).unwrap();
    assert!(
        copy.error().contains("several files of weights"),
        "{}",
        copy.error()
    );
    assert!(Checkpoint::open(&variant("fp16")).is_ok());

    std::fs::remove_file(path.join("config.json")).unwrap();
    assert!(
        copy.error().contains("a folder without config.json"),
        "{}",
        copy.error()
    );
    let alone = Checkpoint::open(&variant("fp16")).unwrap();
    let error = UNet::load(&alone, &ModelOptions::default()).err().unwrap();
    assert!(
        error.to_string().contains("expected that file beside"),
        "{error}"
    );
    std::fs::write(path.join("config.json"), "[]").unwrap();
    assert!(
        Checkpoint::open(&variant("fp16"))
            .unwrap_err()
            .to_string()
            .contains("config.json: expected a JSON object")
    );

    // Without a scheduler, the process has to be told.
    let copy = Copy::of("v-prediction");
    std::fs::remove_file(copy.0.path().join("scheduler_config.json")).unwrap();
    assert!(matches!(copy.error(), text if text.contains("--train-steps")));
}

/// The averaged folder of diffusers' training script wins; the other can be named.
#[test]
fn averaged_folders_win() {
    let outer = tempfile::tempdir().unwrap();
    for (inner, source) in [("unet", "v-prediction"), ("unet_ema", "without-attention")] {
        let target = outer.path().join(inner);
        std::fs::create_dir(&target).unwrap();
        for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
            std::fs::copy(folder(source).join(name), target.join(name)).unwrap();
        }
    }
    let checkpoint = Checkpoint::open(outer.path()).unwrap();
    assert_eq!(checkpoint.place().to_string(), "unet_ema (set aside: unet)");
    let other = Checkpoint::open_part(outer.path(), Some("unet")).unwrap();
    assert_eq!(other.place().to_string(), "unet (set aside: unet_ema)");
    assert_eq!(
        other.sha256(),
        Checkpoint::open(&folder("v-prediction")).unwrap().sha256()
    );
    assert!(
        Checkpoint::open_part(outer.path(), Some("vae"))
            .unwrap_err()
            .to_string()
            .contains("vae/config.json")
    );
}
