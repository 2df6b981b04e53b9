//! `ddpm export`: schedules in the words of other programs. That these programs understand them is checked by
//! `cargo xtask check-exports`; here the text must stay what was checked there.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    Ddpm, assert_close, golden, images_of_shape, numbers, scratch, small, write_npy,
};

/// Schedules of 3 and 8 steps of the squared errors that the example hook measured.
fn schedules(folder: &Path, flags: &str) -> PathBuf {
    let out = folder.join("s.json");
    Ddpm::new("schedule")
        .file("--mse", &golden("squared-errors.npz"))
        .words("--steps 3,8")
        .words(flags)
        .writes(&out);
    out
}

fn export(schedules: &Path, flags: &str) -> Ddpm {
    Ddpm::new("export").arg(schedules).words(flags)
}

/// Compares with a file of tests/golden/exports; DDPM_WRITE_GOLDEN=1 writes it anew.
fn assert_golden(name: &str, text: &str) {
    let file = golden("exports").join(name);
    if std::env::var_os("DDPM_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == expected,
        "{name} is no longer:\n{expected}\nbut:\n{text}"
    );
}

#[test]
fn the_text_of_every_format_is_the_one_that_was_checked() {
    let folder = scratch();
    for (variance, format, steps, name) in [
        ("fixed-small", "diffusers", "3", "diffusers-fixed-small.py"),
        (
            "fixed-large",
            "diffusers",
            "all",
            "diffusers-fixed-large.py",
        ),
        ("analytic", "diffusers", "8", "diffusers-analytic.py"),
        ("analytic", "k-diffusion", "3", "k-diffusion.py"),
        (
            "fixed-small",
            "k-diffusion",
            "3,8",
            "k-diffusion-several.py",
        ),
        ("fixed-small", "comfyui", "all", "comfyui.txt"),
        (
            "fixed-large",
            "improved-diffusion",
            "8",
            "improved-diffusion.py",
        ),
        ("analytic", "csv", "all", "schedules.csv"),
    ] {
        let file = schedules(folder.path(), &format!("--variance {variance}"));
        let text = export(&file, &format!("--format {format} --steps {steps}"))
            .run()
            .succeeds()
            .stdout();
        assert_golden(name, &text);
        // What is written to a file is the same.
        let out = folder.path().join("out");
        export(&file, &format!("--format {format} --steps {steps}")).writes(&out);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), text);
    }
}

#[test]
fn lists_are_the_paths_and_sigmas_those_of_the_chain() {
    let folder = scratch();
    let file = schedules(folder.path(), "--variance fixed-small");
    let chosen: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let found = export(&file, "--format diffusers").json();
    for (budget, listed) in chosen["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .zip(found["schedules"].as_array().unwrap())
    {
        let path = numbers(&budget["path"]);
        let descending: Vec<f64> = path[1..].iter().rev().map(|t| t - 1.0).collect();
        assert_eq!(numbers(&listed["timesteps"]), descending);
        assert_eq!(listed["steps"], budget["steps"]);
        let words: Vec<String> = path.iter().map(f64::to_string).collect();
        let constants = Ddpm::new("transitions")
            .words("--noise-schedule cosine --train-steps 60 --path")
            .arg(words.join(","))
            .json();
        let mut sigmas: Vec<f64> = numbers(&constants["alphas_cumprod"])
            .iter()
            .rev()
            .map(|a| ((1.0 - a) / a).sqrt())
            .collect();
        sigmas.push(0.0);
        assert_close("sigmas", &numbers(&listed["sigmas"]), &sigmas, 1e-9);
    }
    let line = export(&file, "--format comfyui --steps 8").run().succeeds();
    let read: Vec<f64> = line
        .stdout()
        .trim()
        .split(", ")
        .map(|word| word.parse().unwrap())
        .collect();
    assert_eq!(read, numbers(&found["schedules"][1]["sigmas"]));
    assert!(!line.stdout().contains('e'), "{}", line.stdout());
}

#[test]
fn arrays_hold_timesteps_from_zero() {
    let folder = scratch();
    let file = schedules(folder.path(), "--variance fixed-small");
    let found = export(&file, "--format npy").json();
    let lists: Vec<Vec<f64>> = found["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| numbers(&s["timesteps"]))
        .collect();
    let out = folder.path().join("t.npy");
    let write = |steps: &str| {
        export(&file, &format!("--format npy --steps {steps}")).writes(&out);
    };
    write("8");
    let read = || {
        let bytes = std::fs::read(&out).unwrap();
        let mut rest = &bytes[..];
        let header = ddpm_files::npy::read_npy_header(&mut rest, bytes.len() as u64).unwrap();
        assert_eq!(header.descr, "<i8");
        header.floats(&mut rest).unwrap()
    };
    assert_eq!(read().into_raw_vec_and_offset().0, lists[1]);
    write("all");
    let all = read().into_dimensionality::<ndarray::Ix2>().unwrap();
    assert_eq!(all.dim(), (2, 8));
    assert_eq!(all.row(1).to_vec(), lists[1]);
    assert_eq!(all.row(0).to_vec()[..3], lists[0][..]);
    assert!(all.row(0).iter().skip(3).all(|&t| t == -1.0));
}

#[test]
fn what_a_tool_cannot_take_over_is_said() {
    let folder = scratch();
    let file = schedules(folder.path(), "--variance analytic");
    for format in [
        "diffusers",
        "k-diffusion",
        "comfyui",
        "improved-diffusion",
        "npy",
    ] {
        let out = folder.path().join("out");
        let run = export(&file, &format!("--format {format}"))
            .over("--out", &out)
            .run()
            .succeeds();
        assert!(
            run.stderr()
                .contains("does not take over the analytic variances"),
            "{format}: {}",
            run.stderr()
        );
        let found = export(&file, &format!("--format {format}")).json();
        assert!(
            found["not_taken_over"][0]
                .as_str()
                .unwrap()
                .contains("analytic")
        );
        let text = String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
        assert_eq!(
            text.contains("# Not taken over: the analytic variances"),
            !matches!(format, "comfyui" | "npy"),
            "{format}"
        );
    }
    let quiet = export(&file, "--format comfyui --quiet").run().succeeds();
    assert_eq!(quiet.stderr(), "");
    let plain = schedules(folder.path(), "--variance fixed-small");
    let run = export(&plain, "--format improved-diffusion")
        .run()
        .succeeds();
    assert!(
        !run.stderr().contains("does not take over"),
        "{}",
        run.stderr()
    );
}

/// A table of 20 steps whose best paths are even: (t - s)^2.
fn even_costs(folder: &Path) -> PathBuf {
    let table = folder.join("cost.npy");
    let costs: Vec<f64> = (0..=20)
        .flat_map(|t: i32| (0..=20).map(move |s| f64::from((t - s).pow(2))))
        .collect();
    write_npy(&table, &[21, 21], &costs);
    table
}

/// A flow's programs count s and not timesteps, and the file remembers whose clock it is of.
#[test]
fn schedules_of_a_flow_leave_in_its_own_words() {
    let folder = scratch();
    let table = even_costs(folder.path());
    let solve = |flags: &str| Ddpm::new("solve").arg(&table).words(flags);
    let text = solve("--budgets 4 --process flow --export comfyui").run();
    let text = text.succeeds().stdout();
    let found: Vec<f64> = text
        .split(", ")
        .map(|x| x.trim().parse().unwrap())
        .collect();
    assert_close("s", &found, &[1.0, 0.75, 0.5, 0.25, 0.0], 1e-15);
    solve("--budgets 4 --process flow --export improved-diffusion").fails(2, &["another clock"]);
    let curve = folder.path().join("mse.csv");
    let rows: String = (1..=20)
        .map(|t| format!("{}\n", 0.01 * f64::from(t)))
        .collect();
    std::fs::write(&curve, format!("mse\n{rows}")).unwrap();
    let choose = |flags: &str| {
        let schedule = Ddpm::new("schedule").file("--mse", &curve);
        schedule
            .words("--variance fixed-small --steps 3")
            .words(flags)
    };
    let out = folder.path().join("s.json");
    choose("--process flow").writes(&out);
    let sigmas = |text: &str| -> Vec<f64> {
        let (_, list) = text.split_once("\nsigmas = [").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        list.split(", ").map(|x| x.parse().unwrap()).collect()
    };
    let text = export(&out, "--format diffusers").run().succeeds().stdout();
    let path = numbers(&export(&out, "--format csv").json()["schedules"][0]["sigmas"]);
    assert_eq!(path[0], 1.0);
    assert_close("s", &sigmas(&text), &path[..3], 1e-15);
    assert!(
        path[..3]
            .iter()
            .all(|s| ((s * 20.0).round() - s * 20.0).abs() < 1e-12)
    );
    export(&out, "--format npy").fails(2, &["another clock"]);
    let text = choose("--process edm:0.01:50 --export k-diffusion").run();
    let edm = sigmas(&text.succeeds().stdout());
    assert!((edm[0] - 50.0).abs() < 1e-9 && edm[3] == 0.0, "{edm:?}");
    let usual = choose("--process edm --export k-diffusion").run();
    assert!((sigmas(&usual.succeeds().stdout())[0] - 80.0).abs() < 1e-9);
    choose("--process flw").fails(3, &["--process", "flow", "edm:MIN:MAX", "flw"]);
    choose("--process edm:2:1").fails(3, &["--process", "sigma_min < sigma_max"]);
    choose("--process vp").fails(3, &["--process", "--noise-schedule"]);
    choose("--process flow --noise-schedule cosine").fails(2, &["--process", "--noise-schedule"]);
}

/// Three ways from arrays to an exported schedule, one command each.
#[test]
fn from_arrays_to_an_exported_schedule_in_one_command() {
    let folder = scratch();
    let table = even_costs(folder.path());
    let solve = |flags: &str| Ddpm::new("solve").arg(&table).words(flags);
    let text = solve("--budgets 4 --noise-schedule linear --export diffusers")
        .run()
        .succeeds()
        .stdout();
    assert!(text.contains("\ntimesteps = [19, 14, 9, 4]\n"), "{text}");
    assert!(text.contains("beta_start=0.005"), "{text}");
    // Nobody said what the network predicts.
    assert!(!text.contains("prediction_type=\"epsilon\",\n"), "{text}");
    // A bare table knows no noise levels.
    let text = solve("--budgets 4 --export csv").run().succeeds().stdout();
    assert!(text.contains("\n4,1,20,15,19,,,\n"), "{text}");
    solve("--budgets 4 --export k-diffusion").fails(2, &["--noise-schedule", "--alpha-bar"]);
    let text = Ddpm::new("schedule")
        .file("--mse", &golden("squared-errors.npz"))
        .words("--variance fixed-small --steps 3 --export diffusers")
        .run()
        .succeeds()
        .stdout();
    assert_golden("diffusers-fixed-small.py", &text);
    let text = Ddpm::new("schedule")
        .file("--mse", &golden("oracles/cifar10_ls_virtual_mse.csv"))
        .words("--noise-schedule linear --steps 4 --export improved-diffusion")
        .run()
        .succeeds()
        .stdout();
    assert!(text.contains("use_timesteps = {"), "{text}");
}

#[test]
fn schedules_that_cannot_be_exported() {
    let folder = scratch();
    let file = schedules(folder.path(), "--variance fixed-small");
    export(&file, "--format csv --steps 5").fails(3, &["s.json", "no schedule of 5 steps", "3, 8"]);
    export(&file, "--format csv --steps x").fails(3, &["--steps", "\"x\""]);
    export(&file, "--format webui").fails(2, &["--format", "webui", "diffusers"]);
    export(&file, "").fails(2, &["--format"]);
    export(&folder.path().join("absent.json"), "--format csv")
        .fails(3, &["absent.json", "no such file"]);
    // A chain without signal at T has no sigma there, but timesteps.
    let zero = folder.path().join("zero.json");
    Ddpm::new("schedule")
        .file("--mse", &golden("oracles/cifar10_ls_virtual_mse.csv"))
        .words("--noise-schedule linear --zero-terminal-snr --steps 4")
        .writes(&zero);
    for format in ["k-diffusion", "comfyui"] {
        export(&zero, &format!("--format {format}"))
            .fails(3, &["K=4", "t=1000", "no signal", "--start free"]);
    }
    let found = export(&zero, "--format diffusers").json();
    assert_eq!(found["schedules"][0]["sigmas"], Value::Null);
    assert_eq!(found["schedules"][0]["timesteps"][0], 999);
}

/// Another start than that of a whole chain, and a network that a program has no words for.
#[test]
fn what_a_program_cannot_run_is_not_written_as_if_it_could() {
    let folder = scratch();
    let file = schedules(folder.path(), "--variance fixed-small --start free");
    let early: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let end = early["budgets"][0]["path"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert!(
        end.as_u64().unwrap() < 60,
        "this test needs a path that ends early: {end}"
    );
    let said = export(&file, "--format comfyui").run().succeeds().stderr();
    assert!(
        said.contains("the variance of the first x, 1 + sigma^2"),
        "{said}"
    );
    // k-diffusion's x is drawn by the export, with the right variance.
    let said = export(&file, "--format k-diffusion")
        .run()
        .succeeds()
        .stderr();
    assert!(!said.contains("first x"), "{said}");
    let file = schedules(folder.path(), "--variance fixed-small");
    let said = export(&file, "--format comfyui").run().succeeds().stderr();
    assert!(!said.contains("first x"), "{said}");

    let network = golden("diffusers/v-prediction");
    let [data, profile, chosen] =
        ["x.safetensors", "p", "v.json"].map(|name| folder.path().join(name));
    images_of_shape(&data, [4, 3, 16, 16], 0.0);
    Ddpm::new("profile")
        .arg(&network)
        .words("--images-per-block 1 --evaluations 160")
        .file("--data", &data)
        .writes(&profile);
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4")
        .writes(&chosen);
    export(&chosen, "--format improved-diffusion").fails(2, &["v-prediction", "--format", "csv"]);
    let text = export(&chosen, "--format diffusers")
        .run()
        .succeeds()
        .stdout();
    assert!(text.contains("v_prediction"), "{text}");
    export(&chosen, "--format csv").run().succeeds();
}

/// Samplers that look back further follow the schedules of the two-step solver, and are exported with steps of their own.
#[test]
fn every_multistep_sampler_is_exported_to_diffusers() {
    let folder = scratch();
    let [trajectories, schedules] = ["t", "s.json"].map(|name| folder.path().join(name));
    small("trajectory")
        .words("--count 2 --nodes 8 --steps none")
        .writes(&trajectories);
    let choose = |sampler: &str| {
        Ddpm::new("schedule")
            .arg(&trajectories)
            .words("--objective quality --steps 4 --sampler")
            .arg(sampler)
            .writes(&schedules);
    };
    choose("dpm-solver++");
    let of = |words: &str| export(&schedules, words);
    for (sampler, holds, lacks) in [
        ("dpm-solver++3m", "solver_order=3", "CalibratedScheduler"),
        ("ipndm", "\"remembered\":[", "\"correctors\":["),
        ("unipc", "\"correctors\":[", "\"remembered\":["),
        ("unipc3", "\"correctors\":[", "\"remembered\":["),
    ] {
        let text = of(&format!("--format diffusers --sampler {sampler}"));
        let text = text.run().succeeds().stdout();
        assert!(text.contains(holds) && !text.contains(lacks), "{text}");
        let unwrapped = text.replace("\n# ", " ");
        assert!(
            unwrapped.contains(&format!("for the sampler {sampler}")),
            "{text}"
        );
        let said = of(&format!("--format comfyui --sampler {sampler}"));
        let said = said.run().succeeds().stderr();
        assert!(said.contains("none with exactly its steps"), "{said}");
        of(&format!("--format k-diffusion --sampler {sampler}")).fails(2, &[sampler]);
        of(&format!("--format csv --sampler {sampler}"))
            .run()
            .succeeds();
    }
    of("--format diffusers --sampler ddim").fails(
        3,
        &["s.json", "sampler of the schedules", "ddim", "dpm-solver++"],
    );
    choose("ddim");
    of("--format diffusers --sampler unipc").fails(3, &["sampler of the schedules", "unipc"]);
    let ancestral = self::schedules(folder.path(), "--variance fixed-small");
    export(&ancestral, "--format diffusers --sampler ipndm").fails(3, &["ipndm", "found ddpm"]);
    let own = export(&ancestral, "--format diffusers")
        .run()
        .succeeds()
        .stdout();
    let asked = export(&ancestral, "--format diffusers --sampler ddpm").run();
    assert_eq!(asked.succeeds().stdout(), own);
}

/// From a node without signal sigma is infinite, and diffusers' DPM-Solver would make every state NaN.
#[test]
fn schedules_from_a_node_without_signal_bring_steps_of_their_own() {
    let folder = scratch();
    let [trajectories, schedules] = ["t", "s.json"].map(|name| folder.path().join(name));
    let zero = |command: &str| Ddpm::new(command).arg(golden("diffusers/v-prediction"));
    zero("trajectory")
        .words("--count 2 --nodes 8 --steps none --sampler dpm-solver++,dpm-solver++3m")
        .writes(&trajectories);
    for sampler in ["dpm-solver++", "dpm-solver++3m"] {
        Ddpm::new("schedule")
            .arg(&trajectories)
            .words("--objective quality --steps 4 --sampler")
            .arg(sampler)
            .writes(&schedules);
        let text = export(&schedules, "--format diffusers")
            .run()
            .succeeds()
            .stdout();
        assert!(
            text.contains("class CalibratedScheduler"),
            "{sampler}: {text}"
        );
        assert!(!text.contains("DPMSolverMultistepScheduler"), "{text}");
    }
}

/// Schedules for deterministic samplers come with these samplers, not with the ancestral one.
#[test]
fn quality_schedules_are_exported_for_the_sampler_that_they_were_chosen_for() {
    let folder = scratch();
    let trajectories = folder.path().join("t.safetensors");
    small("trajectory")
        .words("--count 2 --nodes 8 --steps none")
        .writes(&trajectories);
    let count = |text: &str, words: &[&str]| words.iter().filter(|w| text.contains(**w)).count();
    for (sampler, diffusers, k_diffusion, comfyui) in [
        (
            "ddim",
            "eta=0.0, use_clipped_model_output=True",
            "import sample_euler\n",
            "choose euler",
        ),
        (
            "dpm-solver++",
            "solver_order=2",
            "import sample_dpmpp_2m\n",
            "choose dpmpp_2m",
        ),
    ] {
        let schedules = folder.path().join("s.json");
        Ddpm::new("schedule")
            .arg(&trajectories)
            .words("--objective quality --steps 4 --sampler")
            .arg(sampler)
            .writes(&schedules);
        let of = |format: &str| {
            export(&schedules, &format!("--format {format}"))
                .run()
                .succeeds()
        };
        let listed = of("diffusers").stdout();
        assert!(listed.contains(diffusers), "{listed}");
        assert_eq!(
            count(
                &listed,
                &["def ddpm_scheduler", "solver_order=1", "eta=1.0"],
            ),
            0,
            "{listed}"
        );
        let sigmas = of("k-diffusion").stdout();
        assert_eq!(
            count(&sigmas, &[k_diffusion, "ancestral", "variances"]),
            1,
            "{sigmas}"
        );
        let said = of("comfyui").stderr();
        assert!(said.contains(comfyui), "{said}");
        let spaced = of("improved-diffusion").stdout();
        assert!(spaced.contains("Not taken over: the sampler"), "{spaced}");
        // The trajectories know how the network is fed.
        assert!(spaced.contains("rescale_timesteps=True,"), "{spaced}");
        assert!(
            sigmas.contains("Not taken over: the scaling of"),
            "{sigmas}"
        );
        assert!(said.contains("the scaling of timesteps"), "{said}");
    }
}
