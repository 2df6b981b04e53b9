//! Exports against the texts that were checked with the programs they are for (tests/golden/exports, `cargo xtask check-exports`), from
//! schedules that stand here: no profile and no command line.

use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, DecoderKind, LinearStep, MeanCorrection, ModelId, NetworkId,
    NoiseSchedule, NoiseScheduleName, Parameterization, Process, ProcessKind, Sampler, TimePath,
    VarianceKind,
};
use ddpm_schedule::export::{Format, export, export_paths};
use ddpm_schedule::{
    Budgets, Chosen, Error, Kernel, Schedule, Schedules, Scoring, TrajectoryKind, TrajectoryOrigin,
};

const T: usize = 60;

fn golden(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/exports/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap()
}

fn cosine() -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, T).unwrap()
}

/// The step onto the data shows its mean: a learned variance that only scores it makes no schedule another program cannot take.
#[test]
fn a_decoder_of_a_learned_variance_needs_no_scheduler_of_its_own() {
    let mut schedules = of_fixtures(VarianceKind::Analytic);
    schedules.scoring.decoder = DecoderKind::Optimal;
    for chosen in &mut schedules.budgets {
        chosen.schedule.decoder = DecoderKind::Optimal;
        chosen.schedule.kernels[0] = Kernel::LearnedFrom { log_variance: -5.0 };
    }
    let made = export(&schedules, &Budgets::Only(vec![3]), Format::Diffusers).unwrap();
    let text = String::from_utf8(made.bytes).unwrap();
    assert!(
        text.contains("DDPMScheduler") && !text.contains("CalibratedScheduler"),
        "{text}"
    );
}

/// The paths of the fixtures, as the squared errors of tests/golden/squared-errors.npz gave them.
fn of_fixtures(variance: VarianceKind) -> Schedules {
    let paths: [&[usize]; 2] = match variance {
        VarianceKind::FixedSmall => [&[28, 39, 60], &[2, 3, 5, 9, 16, 24, 39, 60]],
        VarianceKind::FixedLarge => [&[2, 20, 60], &[1, 2, 4, 7, 12, 20, 39, 60]],
        _ => [&[1, 12, 60], &[1, 2, 4, 7, 13, 24, 39, 60]],
    };
    let scoring = Scoring::new(variance).with_decoder(DecoderKind::Gaussian);
    let chosen = |nodes: &[usize]| {
        let path = TimePath::new(nodes, T).unwrap();
        let schedule = if variance == VarianceKind::Analytic {
            Schedule {
                means: Vec::new(),
                bands: None,
                kernels: analytic_kernels(path.steps()),
                path,
                decoder: DecoderKind::Gaussian,
                bin_width: None,
                sampler: Sampler::Ddpm,
                coefficients: CoefficientKind::Solver,
                fitted: Vec::new(),
            }
        } else {
            Schedule::of_path(&cosine(), path, &scoring).unwrap()
        };
        Chosen {
            schedule,
            cost: 0.0,
            prior_bpd: None,
            cost_standard_error: None,
            stability: None,
            distance: None,
        }
    };
    Schedules {
        noise_schedule: cosine(),
        scoring,
        sampler: None,
        coefficients: CoefficientKind::Solver,
        clip_denoised: Some(true),
        parameterization: None,
        costs: vec![None; T],
        budgets: paths.into_iter().map(chosen).collect(),
        provenance: None,
        trajectories: None,
    }
}

/// Schedules with a variance per band and a correction of every step.
fn spectral() -> Schedules {
    let bands = Arc::new(Bands::of_shape(&[3, 4, 4]).unwrap());
    let plain = of_fixtures(VarianceKind::FixedSmall);
    let calibrate = |chosen: Chosen| {
        let nodes = chosen.schedule.path.nodes()[1..].iter();
        let of_band = |scale: f64| (0..bands.count()).map(|b| scale * (b + 1) as f64).collect();
        let kernel = |k: usize, &t: &usize| match k {
            0 => Kernel::Scalar { log_variance: -7.5 },
            _ => Kernel::Bands {
                powers: of_band(1e-3 * t as f64),
            },
        };
        let mean = |&t: &usize| {
            Arc::new(MeanCorrection {
                estimate: of_band(1e-4 * t as f64).to_vec(),
                noise: of_band(-1e-5 * t as f64).to_vec(),
                offset: vec![0.5; bands.constants().count()],
            })
        };
        Chosen {
            schedule: Schedule {
                kernels: nodes
                    .clone()
                    .enumerate()
                    .map(|(k, t)| kernel(k, t))
                    .collect(),
                means: nodes.map(mean).collect(),
                bands: Some(bands.clone()),
                ..chosen.schedule
            },
            ..chosen
        }
    };
    Schedules {
        scoring: Scoring::new(VarianceKind::Spectral),
        budgets: plain.budgets.into_iter().map(calibrate).collect(),
        ..plain
    }
}

fn text_of(schedules: &Schedules, budgets: &Budgets, format: Format) -> String {
    let made = export(schedules, budgets, format).unwrap();
    String::from_utf8(made.bytes).unwrap()
}

/// Who opens an export reads first how it is used.
#[test]
fn the_first_line_says_how_the_list_is_followed() {
    let mut schedules = of_fixtures(VarianceKind::FixedSmall);
    schedules.parameterization = Some(Parameterization::Epsilon);
    let only = Budgets::Only(vec![3]);
    let begins = |schedules: &Schedules, budgets: &Budgets, format, with: &str| {
        let text = text_of(schedules, budgets, format);
        assert!(text.starts_with(&format!("# {with}")), "{text}");
    };
    let diffusers = Format::Diffusers;
    begins(
        &schedules,
        &only,
        diffusers,
        "pipe.scheduler = ddpm_scheduler(timesteps) makes",
    );
    let all = Budgets::All;
    begins(
        &schedules,
        &all,
        diffusers,
        "pipe.scheduler = ddpm_scheduler(timesteps[3]) makes",
    );
    begins(
        &schedules,
        &all,
        Format::KDiffusion,
        "sample(denoiser, shape, sigmas[3]) follows",
    );
    let improved = Format::ImprovedDiffusion;
    begins(
        &schedules,
        &only,
        improved,
        "diffusion(use_timesteps).p_sample_loop(model, shape) follows",
    );
    schedules.sampler = Some(Sampler::Ddim);
    begins(
        &schedules,
        &only,
        diffusers,
        "pipe.scheduler = ddim_scheduler(timesteps) makes",
    );
    let analytic = of_fixtures(VarianceKind::Analytic);
    let call = "pipe.scheduler = ddpm_scheduler(timesteps, variances, prediction_type=...)";
    begins(&analytic, &only, diffusers, call);
    let call = "pipe.scheduler = CalibratedScheduler(3, prediction_type=...) makes";
    begins(&spectral(), &only, diffusers, call);
    let flow = of_process(&Process::flow(40).unwrap(), Sampler::Ddim);
    begins(
        &flow,
        &all,
        diffusers,
        "pipe.scheduler = flow_scheduler(sigmas) makes",
    );
    begins(
        &flow,
        &all,
        Format::KDiffusion,
        "sample(denoiser, shape, sigmas) follows",
    );
}

/// What a network predicts is written where it is known, and asked for elsewhere.
#[test]
fn the_type_of_an_unknown_network_is_not_guessed() {
    let all = Budgets::All;
    let texts = |schedules: &Schedules| {
        [Format::Diffusers, Format::ImprovedDiffusion]
            .map(|format| text_of(schedules, &all, format))
    };
    let mut schedules = of_fixtures(VarianceKind::FixedSmall);
    let [diffusers, improved] = texts(&schedules);
    assert!(
        !diffusers.contains("prediction_type=\"epsilon\",\n"),
        "{diffusers}"
    );
    assert!(diffusers.contains("if \"prediction_type\" not in config"));
    assert!(
        improved.contains("if model_mean_type is None") && !improved.contains("MeanType.EPSILON,")
    );
    let calibrated = text_of(&spectral(), &all, Format::Diffusers);
    assert!(calibrated.contains("\nPREDICTION_TYPE = None\n"));
    schedules.parameterization = Some(Parameterization::X0);
    let [diffusers, improved] = texts(&schedules);
    assert!(
        diffusers.contains("prediction_type=\"sample\",\n"),
        "{diffusers}"
    );
    assert!(!diffusers.contains("not in config"));
    assert!(
        improved.contains("model_mean_type=gd.ModelMeanType.START_X,"),
        "{improved}"
    );
    let known = Schedules {
        parameterization: Some(Parameterization::V),
        ..spectral()
    };
    let calibrated = text_of(&known, &all, Format::Diffusers);
    assert!(calibrated.contains("\nPREDICTION_TYPE = \"v_prediction\"\n"));
}

/// Loops of improved-diffusion clip unless they are told; schedules without a clip do not leave it to them.
#[test]
fn a_schedule_without_a_clip_is_not_clipped_elsewhere() {
    let mut schedules = of_fixtures(VarianceKind::FixedSmall);
    let only = Budgets::Only(vec![3]);
    for (clip, improved, diffusers) in [
        (Some(true), "return FixedVariances(", "CLIP = True\n"),
        (Some(false), "return Unclipped(", "CLIP = False\n"),
        (
            None,
            "clip_denoised=False.\n",
            "CLIP = False  # the schedule does not say",
        ),
    ] {
        schedules.clip_denoised = clip;
        let text = text_of(&schedules, &only, Format::ImprovedDiffusion);
        assert!(text.contains(improved), "{text}");
        let text = text_of(&schedules, &only, Format::Diffusers);
        assert!(text.contains(diffusers), "{text}");
    }
}

/// diffusers gets every number of a calibrated step; a program that has no place for them is told to lack them.
#[test]
fn calibrated_kernels_go_to_diffusers_and_are_named_as_lost_elsewhere() {
    let schedules = spectral();
    let made = export(&schedules, &Budgets::All, Format::Diffusers).unwrap();
    assert!(made.losses.is_empty(), "{:?}", made.losses);
    let text = String::from_utf8(made.bytes).unwrap();
    let json = text
        .split('\'')
        .find(|part| part.starts_with("{\"bands\""))
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    for (of_file, chosen) in json["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&schedules.budgets)
    {
        let schedule = &chosen.schedule;
        assert_eq!(of_file["steps"], schedule.steps());
        for (k, (t, s)) in schedule.path.edges().enumerate() {
            let edge = cosine().transition(t, s);
            let step = LinearStep::ancestral(&edge, f64::NEG_INFINITY);
            let told = &of_file["coefficients"][k];
            assert_eq!(
                (told[0].as_f64(), told[1].as_f64()),
                (Some(step.from_x_t), Some(step.from_xhat0))
            );
            let own = json["by_timestep"]
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["t"] == t);
            let own = own.unwrap();
            assert_eq!(own["a"][2], schedule.means[k].estimate[2]);
            assert_eq!(own["m"][0], 0.5);
            match &schedule.kernels[k] {
                Kernel::Bands { powers } => {
                    assert_eq!(of_file["kernels"][k], "bands");
                    assert_eq!(own["powers"][1], powers[1]);
                    assert_eq!(of_file["snr_gain"][k], edge.snr_gain);
                }
                _ => assert_eq!(of_file["log_variance"][k], -7.5),
            }
        }
    }
    for format in [
        Format::KDiffusion,
        Format::Comfyui,
        Format::ImprovedDiffusion,
    ] {
        let made = export(&schedules, &Budgets::Only(vec![3]), format).unwrap();
        let losses = made.losses.join("; ");
        assert!(
            losses.contains("spectral variances") && losses.contains("calibrated mean"),
            "{losses}"
        );
    }
}

/// The measured variances of K steps: numbers that only a fixture knows.
fn analytic_kernels(steps: usize) -> Vec<Kernel> {
    let table = golden("schedules.csv");
    let rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let of_budget = rows.filter(|row| row[0] == steps.to_string());
    let mut kernels: Vec<Kernel> = of_budget
        .map(|row| Kernel::Scalar {
            log_variance: row[7].parse().unwrap(),
        })
        .collect();
    kernels.reverse();
    kernels
}

#[test]
fn the_text_of_every_format_is_the_one_that_was_checked() {
    use VarianceKind::{Analytic, FixedLarge, FixedSmall};
    let only = |list: &[usize]| Budgets::Only(list.to_vec());
    for (variance, format, budgets, name) in [
        (
            FixedSmall,
            "diffusers",
            only(&[3]),
            "diffusers-fixed-small.py",
        ),
        (
            FixedLarge,
            "diffusers",
            Budgets::All,
            "diffusers-fixed-large.py",
        ),
        (Analytic, "diffusers", only(&[8]), "diffusers-analytic.py"),
        (Analytic, "k-diffusion", only(&[3]), "k-diffusion.py"),
        (
            FixedSmall,
            "k-diffusion",
            only(&[3, 8]),
            "k-diffusion-several.py",
        ),
        (FixedSmall, "comfyui", Budgets::All, "comfyui.txt"),
        (
            FixedLarge,
            "improved-diffusion",
            only(&[8]),
            "improved-diffusion.py",
        ),
        (Analytic, "csv", Budgets::All, "schedules.csv"),
    ] {
        let format: Format = format.parse().unwrap();
        let found = export(&of_fixtures(variance), &budgets, format).unwrap();
        assert_eq!(
            String::from_utf8(found.bytes).unwrap(),
            golden(name),
            "{name}"
        );
        assert!(format.is_text());
    }
}

#[test]
fn arrays_are_those_of_numpy() {
    let array = |budgets: &Budgets| {
        let found = export(&of_fixtures(VarianceKind::FixedSmall), budgets, Format::Npy);
        found.unwrap().bytes
    };
    let expected = |shape: &str, cells: &[i64]| {
        let dictionary = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}}}");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{dictionary:117}\n").bytes());
        bytes.extend(cells.iter().flat_map(|cell| cell.to_le_bytes()));
        bytes
    };
    assert!(!Format::Npy.is_text());
    assert_eq!(
        array(&Budgets::Only(vec![3])),
        expected("(3,)", &[59, 38, 27])
    );
    let rows = [
        [59, 38, 27, -1, -1, -1, -1, -1],
        [59, 38, 23, 15, 8, 4, 2, 1],
    ];
    assert_eq!(
        array(&Budgets::All),
        expected("(2, 8)", rows.as_flattened())
    );
}

#[test]
fn an_export_tells_its_lists_and_losses_as_values() {
    let schedules = of_fixtures(VarianceKind::Analytic);
    let found = export(&schedules, &Budgets::Only(vec![8, 3]), Format::Comfyui).unwrap();
    let steps: Vec<usize> = found.lists.iter().map(|list| list.steps).collect();
    assert_eq!(steps, [8, 3]);
    assert_eq!(found.lists[1].timesteps, [59, 11, 0]);
    let sigmas = found.lists[1].sigmas.as_deref().unwrap();
    assert_eq!((sigmas.len(), sigmas[3]), (4, 0.0));
    assert!(found.losses[0].starts_with("the analytic variances"));
    let json = serde_json::to_value(&found).unwrap();
    let object = json.as_object().unwrap();
    assert_eq!(
        (&json["T"], &json["variance"]),
        (&60.into(), &"analytic".into())
    );
    assert_eq!(json["not_taken_over"][0], found.losses[0]);
    assert!(!object.contains_key("bytes"));
}

#[test]
fn a_sampler_replaces_the_variances() {
    let mut schedules = of_fixtures(VarianceKind::FixedLarge);
    schedules.sampler = Some(Sampler::Ddim);
    let text = |format| {
        let found = export(&schedules, &Budgets::All, format).unwrap();
        String::from_utf8(found.bytes).unwrap()
    };
    let csv = text(Format::Csv);
    assert!(csv.starts_with("# T=60, cosine noise schedule, for the sampler ddim, clip on\n"));
    let listed = text(Format::Diffusers);
    assert!(listed.contains("def ddim_scheduler") && !listed.contains("ddpm_scheduler"));
    assert!(!text(Format::KDiffusion).contains("fixed-large"));
}

#[test]
fn paths_of_a_cost_table_need_no_conventions() {
    let path = TimePath::new([5, 10, 15, 20], 20).unwrap();
    let bare = |format| export_paths(20, None, std::slice::from_ref(&path), format);
    let csv = bare(Format::Csv).unwrap();
    let text = String::from_utf8(csv.bytes).unwrap();
    assert!(
        text.starts_with("# T=20\n") && text.contains("\n4,1,20,15,19,,,\n"),
        "{text}"
    );
    assert_eq!((csv.variance, csv.decoder), (None, None));
    for format in Format::ALL {
        match bare(*format) {
            Ok(_) => assert!(matches!(format, Format::Csv | Format::Npy)),
            Err(Error::NeedsNoiseSchedule { format: named }) => assert_eq!(named, format.name()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_a_program_cannot_run_is_refused() {
    let mut schedules = of_fixtures(VarianceKind::FixedSmall);
    let missing = export(&schedules, &Budgets::Only(vec![5]), Format::Csv).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no schedule of 5 steps; expected one of 3, 8"
    );
    schedules.parameterization = Some(Parameterization::V);
    let refused = export(&schedules, &Budgets::All, Format::ImprovedDiffusion).unwrap_err();
    assert!(matches!(refused, Error::NotExpressible { .. }), "{refused}");
    assert!(export(&schedules, &Budgets::All, Format::Diffusers).is_ok());

    schedules.noise_schedule = cosine().zero_terminal_snr();
    for format in [Format::KDiffusion, Format::Comfyui] {
        let refused = export(&schedules, &Budgets::All, format).unwrap_err();
        assert!(
            matches!(refused, Error::NoSignal { steps: 3, t: T }),
            "{refused}"
        );
    }
    let timesteps = export(&schedules, &Budgets::All, Format::Npy).unwrap();
    assert_eq!(timesteps.lists[0].sigmas, None);

    schedules.budgets.clear();
    let empty = export(&schedules, &Budgets::All, Format::Csv).unwrap_err();
    assert_eq!(
        empty.to_string(),
        "budgets: expected at least one, found none"
    );
}

/// Schedules of a network on another clock, as files of trajectories tell of it.
fn of_process(process: &Process, sampler: Sampler) -> Schedules {
    let noise = process.noise_schedule().clone();
    let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::None);
    let path = TimePath::new([10, 25, 40], 40).unwrap();
    let schedule = Schedule::of_path(&noise, path, &scoring)
        .unwrap()
        .for_sampler(sampler);
    let setting = (ProcessKind::SETTING.to_owned(), process.to_string());
    let model = ModelId {
        network: NetworkId::Named("mine".into()),
        noise_schedule: None,
        train_steps: 40,
        parameterization: Some(Parameterization::X0),
        rescale_timesteps: false,
        clip_denoised: false,
        precision: "f32".into(),
        shape: vec![2],
        settings: [setting].into(),
    };
    let origin = TrajectoryOrigin {
        model,
        kind: TrajectoryKind::Flow,
        solver: Some(Sampler::DpmSolver2M),
        seed: 0,
        images: vec![0],
        labels: None,
        data_sha256: None,
        evaluations: 3,
        library_version: "0".into(),
        extra: [].into(),
    };
    Schedules {
        noise_schedule: noise,
        scoring,
        sampler: Some(sampler),
        coefficients: CoefficientKind::Solver,
        clip_denoised: Some(false),
        parameterization: Some(Parameterization::X0),
        costs: vec![None, None, Some(0.5)],
        budgets: vec![Chosen {
            schedule,
            cost: 0.5,
            prior_bpd: None,
            cost_standard_error: None,
            stability: None,
            distance: None,
        }],
        provenance: None,
        trajectories: Some(origin),
    }
}

/// Programs of flows count s, and their schedulers shift what they are given.
#[test]
fn schedules_of_a_flow_are_exported_in_s() {
    let flow = Process::flow(40).unwrap();
    let of = |sampler, format| export(&of_process(&flow, sampler), &Budgets::All, format);
    let text = |format| {
        let made = of(Sampler::Ddim, format).unwrap();
        assert!(made.lists[0].timesteps.is_empty(), "{:?}", made.lists);
        let expected = [1.0, 0.625, 0.25, 0.0];
        let found = made.lists[0].sigmas.as_ref().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found}");
        }
        (String::from_utf8(made.bytes).unwrap(), made.losses)
    };
    let (diffusers, losses) = text(Format::Diffusers);
    assert!(diffusers.contains("\nsigmas = [1.0, 0.625, 0.25]\n") && losses.is_empty());
    assert!(diffusers.contains("def unshifted(sigmas, shift)"));
    let (k_diffusion, _) = text(Format::KDiffusion);
    assert!(k_diffusion.contains("\nsigmas = [1.0, 0.625, 0.25, 0.0]\n"));
    let (comfyui, losses) = text(Format::Comfyui);
    assert_eq!(comfyui, "1, 0.625, 0.25, 0.0\n");
    assert!(losses.join("; ").contains("choose euler"));
    let (csv, _) = text(Format::Csv);
    assert!(csv.contains("\n3,1,40,25,,0.0,1.0,"), "{csv}");
    // Steps of another kind are not passed off as theirs.
    let losses = of(Sampler::DpmSolver2M, Format::Diffusers).unwrap().losses;
    assert!(losses.join("; ").contains("dpm-solver++"), "{losses:?}");
    let losses = of(Sampler::DpmSolver2M, Format::Comfyui).unwrap().losses;
    assert!(losses.join("; ").contains("none with exactly its steps"));
    assert!(matches!(
        of(Sampler::DpmSolver2M, Format::KDiffusion),
        Err(Error::NotExpressible { .. })
    ));
}

#[test]
fn formats_of_whole_timesteps_refuse_other_clocks() {
    for process in [
        Process::flow(40).unwrap(),
        Process::edm(0.002, 80.0, 40).unwrap(),
    ] {
        let schedules = of_process(&process, Sampler::Ddim);
        for format in [Format::ImprovedDiffusion, Format::Npy] {
            let error = export(&schedules, &Budgets::All, format).unwrap_err();
            assert!(error.to_string().contains("another clock"), "{error}");
        }
    }
    let edm = Process::edm(0.002, 80.0, 40).unwrap();
    let schedules = of_process(&edm, Sampler::DpmSolver2M);
    let error = export(&schedules, &Budgets::All, Format::Diffusers).unwrap_err();
    assert!(error.to_string().contains("another clock"), "{error}");
    let made = export(&schedules, &Budgets::All, Format::KDiffusion).unwrap();
    let found = made.lists[0].sigmas.as_ref().unwrap();
    for (found, t) in found.iter().zip([40, 25, 10]) {
        assert!((found / edm.sigma(t) - 1.0).abs() < 1e-12);
    }
    assert!(made.lists[0].timesteps.is_empty());
}
