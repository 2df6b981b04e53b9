//! `ddpm profile --import` and `ddpm schedule --mse F.npz`: squared errors that another program summed up.

use std::fs::File;
use std::path::{Path, PathBuf};

use ddpm::core::{Bands, DecoderKind, MeanKind, NoiseSchedule, NoiseScheduleName, VarianceKind};
use ddpm::profile::{Block, CostModel, Curves, ElboProfile, ProfileLayout, Reconstruction, choose};
use ddpm::schedule::{Budgets, Scoring};
use ddpm_files::npz::NpzWriter;
use ndarray::{Array, Array1, Array2, Array4, arr0, arr1, arr2, s};
use safetensors::SafeTensors;

use crate::support::{Ddpm, assert_close, golden, numbers, scratch};

/// The arrays of a good file: T = 4, three timesteps, two blocks.
struct Arrays {
    t: Array1<i64>,
    sums: Array2<f64>,
    counts: Array2<i64>,
    squares: Array1<f64>,
    shape: Array1<i64>,
    alpha_bar: Array1<f64>,
    bands: Option<BandArrays>,
    without: &'static str,
}

/// Those of the bands of 3x8x8 images.
struct BandArrays {
    edges: Array1<f64>,
    channels: Array2<f64>,
    products: Array4<f64>,
    means: Array4<f64>,
}

impl Arrays {
    fn good() -> Self {
        Self {
            t: arr1(&[1, 3, 4]),
            sums: arr2(&[[0.02, 0.4, 1.0], [0.02, 0.5, 1.2]]),
            counts: arr2(&[[2, 2, 2], [2, 2, 2]]),
            squares: arr1(&[0.3, 0.4]),
            shape: arr1(&[3, 8, 8]),
            alpha_bar: arr1(&[0.9, 0.6, 0.3, 0.05]),
            bands: None,
            without: "",
        }
    }

    /// With errors that are as large in every band, and like nothing else.
    fn with_bands() -> Self {
        let arrays = Self::good();
        let bands = Bands::of_shape(&[3, 8, 8]).unwrap();
        let mut products = Array4::zeros((2, 3, bands.count(), 6));
        for ((b, i, _, of), x) in products.indexed_iter_mut() {
            match of {
                0 => *x = arrays.sums[[b, i]],
                3 | 5 => *x = 1.0,
                _ => {}
            }
        }
        let basis = bands.channel_basis().to_vec();
        let of_bands = BandArrays {
            edges: arr1(bands.edges()),
            channels: Array2::from_shape_vec((3, 3), basis).unwrap(),
            products,
            means: Array4::zeros((2, 3, 3, 3)),
        };
        Self {
            bands: Some(of_bands),
            ..arrays
        }
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("errors.npz");
        let mut npz = NpzWriter::new_compressed(File::create(&path).unwrap());
        let mut put = |name: &str, write: &mut dyn FnMut(&mut NpzWriter<File>, &str)| {
            if name != self.without {
                write(&mut npz, name);
            }
        };
        put("t", &mut |z, n| z.add_array(n, &self.t).unwrap());
        put("sum_squared_error", &mut |z, n| {
            z.add_array(n, &self.sums).unwrap()
        });
        put("count", &mut |z, n| z.add_array(n, &self.counts).unwrap());
        put("x0_mean_square", &mut |z, n| {
            z.add_array(n, &self.squares).unwrap()
        });
        put("image_shape", &mut |z, n| {
            z.add_array(n, &self.shape).unwrap()
        });
        put("clip_denoised", &mut |z, n| {
            z.add_array(n, &arr0(true)).unwrap()
        });
        put("alpha_bar", &mut |z, n| {
            z.add_array(n, &self.alpha_bar).unwrap()
        });
        if let Some(bands) = &self.bands {
            put("band_edges", &mut |z, n| {
                z.add_array(n, &bands.edges).unwrap()
            });
            put("band_channels", &mut |z, n| {
                z.add_array(n, &bands.channels).unwrap()
            });
            put("band_products", &mut |z, n| {
                z.add_array(n, &bands.products).unwrap()
            });
            put("band_means", &mut |z, n| {
                z.add_array(n, &bands.means).unwrap()
            });
        }
        npz.finish().unwrap();
        path
    }
}

fn import(file: &Path, out: &Path) -> Ddpm {
    Ddpm::new("profile")
        .file("--import", file)
        .file("--out", out)
}

/// Errors know nothing of 8-bit pixels: whoever has images is told, wherever a number or a schedule comes of them.
#[test]
fn schedules_for_a_density_say_that_they_are_not_for_8_bit_images() {
    let folder = scratch();
    let file = golden("squared-errors.npz");
    let profile = folder.path().join("p");
    let imported = import(&file, &profile).run().succeeds().stdout();
    let of_arrays = Ddpm::new("schedule")
        .file("--mse", &file)
        .words("--steps 4");
    let of_profile = Ddpm::new("schedule").arg(&profile);
    let of_profile = of_profile.words("--steps 4 --decoder gaussian");
    let table = Ddpm::new("table").arg(&profile).arg(&profile);
    let table = table.words("--steps 4 --decoder gaussian");
    let said = [of_arrays, of_profile, table].map(|command| command.run().succeeds().stdout());
    for text in said.iter().chain([&imported]) {
        assert!(text.contains("Of 8-bit images"), "{text}");
        assert!(text.contains("docs/other-networks.md"), "{text}");
    }
    let path = Ddpm::new("table").arg(&profile).words("--path even:4");
    let text = path.run().succeeds().stdout();
    assert!(text.contains("Of 8-bit images"), "{text}");
    // And wherever the schedules go.
    let exported = Ddpm::new("schedule").file("--mse", &file);
    let run = exported.words("--steps 4 --export csv").run();
    assert!(run.stderr().contains("Of 8-bit images"), "{}", run.stderr());
    let page = folder.path().join("report.html");
    let report = Ddpm::new("report").arg(folder.path()).file("--out", &page);
    report.run().succeeds();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Of 8-bit images"));
    // Not where there is no density.
    let mse = Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4 --objective mse");
    assert!(!mse.run().succeeds().stdout().contains("8-bit"));
}

#[test]
fn what_the_hook_measured_in_diffusers_gives_schedules_with_error_bars() {
    let folder = scratch();
    let file = golden("squared-errors.npz");
    let out = folder.path().join("p");
    let found = import(&file, &out).words("--split train").json();
    for (key, value) in [("images", 32), ("blocks", 8), ("timesteps", 60)] {
        assert_eq!(found[key], value, "{key}");
    }
    assert_eq!(found["split"], "train");
    // The format has a version of its own, which is kept.
    let fixture = "crates/ddpm-profile/tests/fixtures/profile-v3.safetensors";
    let fixture = std::fs::read(crate::support::repository(fixture)).unwrap();
    let unsplit = folder.path().join("q");
    import(&file, &unsplit).run().succeeds();
    assert!(
        std::fs::read(&unsplit).unwrap() == fixture,
        "profile-v3.safetensors"
    );

    for flags in [
        "--variance fixed-small",
        "--variance analytic --start free",
        "--variance fixed-large --decoder none",
    ] {
        let of_profile = Ddpm::new("schedule")
            .arg(&unsplit)
            .words(flags)
            .words("--steps 3,8")
            .json();
        let of_arrays = Ddpm::new("schedule")
            .file("--mse", &file)
            .words(flags)
            .words("--steps 3,8")
            .json();
        assert_eq!(of_profile, of_arrays);
        assert_eq!(of_profile["noise_schedule"], "cosine");
        assert_eq!(of_profile["clip_denoised"], true);
        assert_eq!(of_profile["budgets"][0]["stability"]["folds"], 8);
    }
    let text = Ddpm::new("schedule")
        .arg(&out)
        .words("--steps 3")
        .run()
        .succeeds()
        .stdout();
    for word in ["±", "gaussian decoder", "32 images", "fixed-small variance"] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    let table = Ddpm::new("table")
        .arg(&out)
        .arg(&unsplit)
        .words("--steps 3 --decoder gaussian")
        .json();
    assert!(table["rows"][0]["stderr"].as_f64().unwrap() > 0.0);
    // Without decoder columns the discretised decoder is refused, with what to do.
    Ddpm::new("schedule")
        .arg(&out)
        .words("--decoder respaced")
        .fails(3, &["decoder respaced", "gaussian or none"]);
}

/// 1/2 (SNR_s - SNR_t) m(t) by hand.
#[test]
fn costs_are_those_of_the_mean_errors() {
    let folder = scratch();
    let arrays = Arrays::good();
    let file = arrays.write(folder.path());
    let found = Ddpm::new("schedule")
        .file("--mse", &file)
        .words("--steps 2 --variance fixed-small --decoder none")
        .json();
    assert_eq!(found["noise_schedule"], "custom");
    let snr = |t: usize| arrays.alpha_bar[t - 1] / (1.0 - arrays.alpha_bar[t - 1]);
    let path = numbers(&found["budgets"][0]["path"]);
    assert_eq!((path[0], path[2]), (0.0, 4.0));
    let expected = 0.5 * (snr(path[1] as usize) - snr(4)) * (2.2 / 4.0) / std::f64::consts::LN_2;
    let cost = found["budgets"][0]["cost"].as_f64().unwrap();
    assert_close("cost", &[cost], &[expected], 1e-12);
}

#[test]
fn blocks_weigh_as_many_images_as_their_scarcest_timestep() {
    let folder = scratch();
    let mut arrays = Arrays::good();
    arrays.counts = arr2(&[[2, 2, 2], [3, 5, 4]]);
    arrays.sums = arr2(&[[0.02, 0.4, 1.2], [0.03, 1.0, 2.0]]);
    let file = arrays.write(folder.path());
    let found = import(&file, &folder.path().join("p")).json();
    assert_eq!(found["images"], 5);
    let m = (2.0 * (1.2 / 2.0) + 3.0 * (2.0 / 4.0)) / 5.0;
    let found = Ddpm::new("schedule")
        .file("--mse", &file)
        .words("--steps 2 --variance fixed-small --decoder none")
        .json();
    let path = numbers(&found["budgets"][0]["path"]);
    let snr = |t: usize| arrays.alpha_bar[t - 1] / (1.0 - arrays.alpha_bar[t - 1]);
    let expected = 0.5 * (snr(path[1] as usize) - snr(4)) * m / std::f64::consts::LN_2;
    assert_close(
        "cost",
        &[found["budgets"][0]["cost"].as_f64().unwrap()],
        &[expected],
        1e-12,
    );
}

#[test]
fn a_named_schedule_is_recognised_and_a_contradiction_refused() {
    let folder = scratch();
    let steps = 4;
    let mut arrays = Arrays::good();
    let constants = Ddpm::new("transitions")
        .words("--noise-schedule sigmoid --train-steps 4")
        .json();
    // As single precision has it.
    arrays.alpha_bar = Array::from_iter(
        numbers(&constants["alphas_cumprod"])
            .iter()
            .map(|&a| f64::from(a as f32)),
    );
    assert_eq!(arrays.alpha_bar.len(), steps);
    let file = arrays.write(folder.path());
    let schedule = |flags: &str| {
        Ddpm::new("schedule")
            .file("--mse", &file)
            .words(flags)
            .words("--steps 2")
    };
    assert_eq!(schedule("").json()["noise_schedule"], "sigmoid");
    schedule("--noise-schedule cosine").fails(3, &["errors.npz", "alpha_bar", "cosine with T=4"]);
    schedule("--noise-schedule sigmoid --train-steps 5")
        .fails(3, &["alpha_bar", "says, 5", "found 4"]);
    // No flag of the chain is passed over.
    schedule("--train-steps 5").fails(3, &["errors.npz", "alpha_bar", "--train-steps says, 5"]);
    schedule("--train-steps 4").json();
    schedule("--zero-terminal-snr").fails(2, &["--noise-schedule"]);
    schedule("--noise-schedule sigmoid --zero-terminal-snr")
        .fails(3, &["alpha_bar", "without the flag"]);
    arrays.without = "alpha_bar";
    arrays.write(folder.path());
    schedule("").fails(2, &["errors.npz", "alpha_bar", "--noise-schedule"]);
    assert_eq!(
        schedule("--noise-schedule cosine --train-steps 4").json()["noise_schedule"],
        "cosine"
    );
    import(&file, &folder.path().join("p")).fails(3, &["errors.npz", "alpha_bar", "no such array"]);
}

/// A file tells its chain, so that flags of one are refused, by name.
#[test]
fn an_import_takes_no_flags_of_a_network() {
    let folder = scratch();
    let file = Arrays::good().write(folder.path());
    for flag in [
        "--noise-schedule cosine",
        "--train-steps 4",
        "--num-heads 4",
        "--parameterization v",
        "--precision bf16",
        "--batch 4",
        "--rescale-timesteps true",
    ] {
        let name = flag.split(' ').next().unwrap();
        import(&file, &folder.path().join("p"))
            .words(flag)
            .fails(2, &["--import", name, "cannot be used with"]);
    }
    import(&file, &folder.path().join("p"))
        .words("--split train")
        .run()
        .succeeds();
    Ddpm::new("schedule")
        .arg(folder.path().join("p"))
        .words("--steps 2 --zero-terminal-snr")
        .fails(2, &["--zero-terminal-snr", "go with --mse"]);
}

/// Lin et al. rescale the betas so that nothing of the image is left at T; single precision keeps that 0.
#[test]
fn a_chain_that_ends_without_signal_is_not_taken_for_one_that_does_not() {
    let folder = scratch();
    let steps = 1000;
    for name in ["linear", "cosine", "scaled-linear", "sigmoid"] {
        let chain = |flags: &str| {
            let constants = Ddpm::new("transitions")
                .words(&format!(
                    "--noise-schedule {name} --train-steps {steps} {flags}"
                ))
                .json();
            Array1::from_iter(
                numbers(&constants["alphas_cumprod"])
                    .iter()
                    .map(|&a| f64::from(a as f32)),
            )
        };
        let mut arrays = Arrays::good();
        arrays.t = arr1(&[1, 500, 1000]);
        arrays.alpha_bar = chain("--zero-terminal-snr");
        assert_eq!(arrays.alpha_bar[steps - 1], 0.0);
        let schedule = |arrays: &Arrays, flags: &str| {
            Ddpm::new("schedule")
                .file("--mse", &arrays.write(folder.path()))
                .words("--steps 1,4,20 --folds 0")
                .words(flags)
        };
        for variance in ["fixed-small", "fixed-large", "analytic"] {
            for start in ["full", "free"] {
                let flags = format!("--variance {variance} --start {start}");
                // JSON has no NaN: it would be null.
                let found = schedule(&arrays, &flags).json();
                assert_eq!(found["noise_schedule"], "custom", "{name}");
                let log_alpha_bar = found["log_alpha_bar"].as_array().unwrap();
                assert!(log_alpha_bar[steps - 1].is_null());
                assert_eq!(log_alpha_bar.iter().filter(|a| a.is_null()).count(), 1);
                for budget in found["budgets"].as_array().unwrap() {
                    assert!(budget["cost"].is_number(), "{name} {flags}");
                    assert!(budget["prior_bpd"].is_number(), "{name} {flags}");
                    for v in budget["log_variance"].as_array().unwrap() {
                        assert!(v.is_number(), "{name} {flags}");
                    }
                    if start == "full" {
                        assert_eq!(budget["prior_bpd"], 0.0);
                    }
                }
            }
        }
        // Recognised, so that single precision is left behind.
        let exact = Ddpm::new("transitions")
            .words(&format!(
                "--noise-schedule {name} --train-steps {steps} --zero-terminal-snr"
            ))
            .json();
        let found = schedule(&arrays, "").json();
        let stored = found["log_alpha_bar"][500].as_f64().unwrap().exp();
        let wanted = numbers(&exact["alphas_cumprod"])[500];
        assert!(
            (stored - wanted).abs() < 1e-12 * wanted,
            "{name}: {stored} {wanted}"
        );
        schedule(
            &arrays,
            &format!("--noise-schedule {name} --zero-terminal-snr"),
        )
        .json();
        schedule(&arrays, &format!("--noise-schedule {name}"))
            .fails(3, &["errors.npz", "alpha_bar", name]);
        // Some schedulers end with a little signal, so that they can divide by it: fine, where it is less than before.
        arrays.alpha_bar[steps - 1] = 0.5 * arrays.alpha_bar[steps - 2];
        let found = schedule(&arrays, "--variance analytic").json();
        assert_eq!(found["noise_schedule"], "custom", "{name}");
        assert!(found["budgets"][0]["cost"].is_number());
        arrays.alpha_bar[steps - 1] = 2.0 * arrays.alpha_bar[steps - 2];
        schedule(&arrays, "").fails(
            3,
            &["errors.npz", "from timestep 999 to 1000", "decreasing"],
        );
        // Without a measurement there, a network that predicts the noise has nothing to say at T.
        arrays.alpha_bar[steps - 1] = 0.0;
        arrays.t = arr1(&[1, 500, 999]);
        let run = schedule(&arrays, "").run();
        assert!(
            run.stderr().contains("no signal is left at t = T = 1000"),
            "{}",
            run.stderr()
        );
        run.succeeds();
        // And the plain schedule is still itself.
        arrays.alpha_bar = chain("");
        arrays.t = arr1(&[1, 500, 1000]);
        assert_eq!(schedule(&arrays, "").json()["noise_schedule"], name);
    }
}

/// A recording cut in two is the recording: no block is lost, and none counts twice.
#[test]
fn recordings_of_other_images_join_and_the_same_twice_is_refused() {
    let folder = scratch();
    let whole = Arrays::with_bands();
    let part = |b: usize| {
        let mut part = Arrays::with_bands();
        part.sums = whole.sums.slice(s![b..=b, ..]).to_owned();
        part.counts = whole.counts.slice(s![b..=b, ..]).to_owned();
        part.squares = whole.squares.slice(s![b..=b]).to_owned();
        let bands = part.bands.as_mut().unwrap();
        bands.products = bands.products.slice(s![b..=b, .., .., ..]).to_owned();
        bands.means = bands.means.slice(s![b..=b, .., .., ..]).to_owned();
        part
    };
    let write = |arrays: &Arrays, name: &str| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        arrays.write(&folder.path().join(name))
    };
    let [all, first, second] = [
        write(&whole, "all"),
        write(&part(0), "first"),
        write(&part(1), "second"),
    ];
    let schedules = |files: &[&Path], out: &str| {
        let out = folder.path().join(out);
        let command = Ddpm::new("profile").arg("--import");
        let command = files
            .iter()
            .fold(command, |command, file| command.arg(file));
        command.file("--out", &out).run().succeeds();
        Ddpm::new("schedule")
            .arg(&out)
            .words("--steps 2,3 --variance spectral --decoder gaussian")
            .json()["budgets"]
            .clone()
    };
    assert_eq!(
        schedules(&[&all], "one"),
        schedules(&[&first, &second], "two")
    );
    let together = |other: &Path, named: &[&str]| {
        import(&first, &folder.path().join("p"))
            .arg("--import")
            .arg(other)
            .fails(3, named);
    };
    together(&first, &["errors.npz", "each recording once"]);
    // Saved again in another order: the same images.
    let mut again = part(0);
    again.t = arr1(&[4, 3, 1]);
    again.sums = again.sums.slice(s![.., ..;-1]).to_owned();
    again.bands = None;
    let mut plain = part(0);
    plain.bands = None;
    let plain = write(&plain, "plain");
    import(&plain, &folder.path().join("p"))
        .arg("--import")
        .arg(write(&again, "again"))
        .fails(3, &["again", "block 0 with the sums of block 0"]);
    let mut other = part(1);
    other.shape = arr1(&[3, 8, 4]);
    other.bands = None;
    together(
        &write(&other, "shape"),
        &["shape", "image_shape", "[3, 8, 8]", "[3, 8, 4]"],
    );
    other.shape = arr1(&[3, 8, 8]);
    together(
        &write(&other, "no-bands"),
        &["band_products", "bands, as in"],
    );
    let mut other = part(1);
    other.alpha_bar[3] = 0.2;
    together(&write(&other, "chain"), &["chain", "alpha_bar", "at t = 4"]);
}

/// A small recording counts for what it is, and not as much as a large one.
#[test]
fn recordings_of_unequal_size_weigh_as_many_images_as_they_have() {
    let folder = scratch();
    let write = |name: &str, blocks: usize, images: i64, error: f64| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let mut arrays = Arrays::good();
        let sums = arr1(&[0.1, 0.5, 1.0]) * error * images as f64;
        arrays.sums = sums.broadcast((blocks, 3)).unwrap().to_owned();
        arrays.counts = Array2::from_elem((blocks, 3), images);
        arrays.squares = Array1::from_elem(blocks, 0.3);
        arrays.write(&folder.path().join(name))
    };
    let (large, small) = (write("large", 4, 128, 1.0), write("small", 4, 8, 2.0));
    let out = folder.path().join("p");
    let found = import(&large, &out).arg("--import").arg(&small).json();
    assert_eq!(
        (&found["images"], &found["blocks"]),
        (&544.into(), &8.into())
    );
    let profile = ElboProfile::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    let m = Curves::from_profile(&profile).unwrap().mse()[4];
    let expected = (512.0 * 1.0 + 32.0 * 2.0) / 544.0;
    assert!((m - expected).abs() < 1e-12, "{m} {expected}");
    // Sizes that were edited into nonsense are refused.
    assert!(profile.is_complete());
}

/// What a loop with random timesteps leaves.
#[test]
fn timesteps_in_any_order_and_blocks_with_gaps_are_pooled_and_it_is_said() {
    let folder = scratch();
    let mut arrays = Arrays::good();
    arrays.t = arr1(&[4, 1, 3]);
    arrays.sums = arr2(&[[1.0, 0.02, 0.4], [0.0, 0.02, 0.5], [1.2, 0.0, 0.0]]);
    arrays.counts = arr2(&[[2, 2, 2], [0, 2, 2], [2, 0, 0]]);
    arrays.squares = arr1(&[0.3, 0.4, 0.4]);
    let out = folder.path().join("p");
    let run = import(&arrays.write(folder.path()), &out).run();
    let said = run.stderr().to_owned();
    run.succeeds();
    assert!(said.contains("3 blocks of images became 2"), "{said}");
    let good = folder.path().join("good");
    std::fs::create_dir(&good).unwrap();
    let budgets = |file: &Path| {
        let found = Ddpm::new("schedule")
            .file("--mse", file)
            .words("--steps 2,3 --folds 0")
            .json();
        let budgets = found["budgets"].as_array().unwrap().iter();
        let of = |b: &serde_json::Value| {
            ["cost", "cost_standard_error", "path"].map(|key| b[key].clone())
        };
        budgets.map(of).collect::<Vec<_>>()
    };
    let file = folder.path().join("errors.npz");
    assert_eq!(budgets(&file), budgets(&Arrays::good().write(&good)));
}

#[test]
fn errors_that_are_like_no_networks_are_warned_of() {
    let folder = scratch();
    let warned = |change: &dyn Fn(&mut Arrays), words: &str| {
        let mut arrays = Arrays::good();
        change(&mut arrays);
        let run = import(&arrays.write(folder.path()), &folder.path().join("p"))
            .words("--force")
            .run();
        let said = run.stderr().to_owned();
        run.succeeds();
        assert_eq!(said.contains("warning"), !words.is_empty(), "{said}");
        assert!(said.contains(words), "{said}");
    };
    warned(&|_| (), "");
    let alphas = arr1(&[0.99, 0.98, 0.97, 0.96]);
    warned(&|a| a.alpha_bar = alphas.clone(), "alphas_cumprod");
    warned(
        &|a| a.sums = arr2(&[[1.0, 0.4, 0.02], [1.2, 0.5, 0.02]]),
        "the error falls from 5.500e-1 at t = 1",
    );
    warned(
        &|a| a.squares = arr1(&[1e-3, 1e-3]),
        "x0_hat = 0 is as good",
    );
    // A curve alone, too.
    let file = folder.path().join("m.csv");
    std::fs::write(&file, "t,mse\n1,0.4\n2,0.3\n3,0.2\n4,0.1\n").unwrap();
    let run = Ddpm::new("schedule")
        .file("--mse", &file)
        .words("--noise-schedule cosine --steps 2")
        .run();
    assert!(run.stderr().contains("the error falls"), "{}", run.stderr());
}

/// A recording has no columns of the discretised decoder: the table takes the one that it can serve.
#[test]
fn the_table_of_recordings_needs_no_flags() {
    let folder = scratch();
    let profile = folder.path().join("p");
    import(&golden("squared-errors.npz"), &profile)
        .run()
        .succeeds();
    let table = |flags: &str| Ddpm::new("table").arg(&profile).arg(&profile).words(flags);
    let found = table("--steps 3").json();
    assert_eq!(found["rows"][0]["decoder"], "gaussian");
    assert_eq!(found, table("--steps 3 --decoder gaussian").json());
    table("--steps 3 --decoder optimal").fails(3, &["decoder optimal", "--import"]);
}

#[test]
fn arrays_that_are_not_as_described() {
    let folder = scratch();
    let out = folder.path().join("p");
    let refused = |change: &dyn Fn(&mut Arrays), named: &[&str]| {
        let mut arrays = Arrays::good();
        change(&mut arrays);
        let file = arrays.write(folder.path());
        import(&file, &out).fails(3, &[&["errors.npz"], named].concat());
        assert!(!out.exists(), "half a profile");
    };
    for key in [
        "t",
        "sum_squared_error",
        "count",
        "x0_mean_square",
        "image_shape",
        "clip_denoised",
    ] {
        let key: &'static str = key;
        refused(&|a| a.without = key, &[key, "expected", "no such array"]);
    }
    refused(&|a| a.t = arr1(&[0, 2, 3]), &["t: ", "timestep 0", "add 1"]);
    refused(&|a| a.t = arr1(&[1, 3, 5]), &["timesteps", "1..=4", "5"]);
    refused(&|a| a.t = arr1(&[1, -3, 3]), &["t: ", "-3"]);
    refused(
        &|a| a.t = arr1(&[1, 3]),
        &["sum_squared_error", "[2, 3]", "2 timesteps"],
    );
    refused(
        &|a| a.counts = arr2(&[[2, 2, 2]]),
        &[
            "count",
            "here [2, 3] as sum_squared_error",
            "found shape [1, 3]",
        ],
    );
    refused(
        &|a| a.squares = arr1(&[0.3]),
        &["x0_mean_square", "here 2 as", "found shape [1]"],
    );
    refused(
        &|a| {
            a.counts[[0, 2]] = 0;
            a.counts[[1, 2]] = 0;
        },
        &["count at t = 4", "at least one image"],
    );
    refused(
        &|a| a.sums[[0, 1]] = -1.0,
        &["sum of block 0 at t = 3", "-1"],
    );
    refused(
        &|a| a.sums[[0, 1]] = f64::NAN,
        &["sum of block 0 at t = 3", "NaN"],
    );
    refused(
        &|a| a.squares[1] = f64::INFINITY,
        &["x0_mean_square of block 1", "inf"],
    );
    refused(
        &|a| a.shape = arr1(&[3, 0, 8]),
        &["image_shape", "[3, 0, 8]"],
    );
    refused(&|a| a.shape = arr1(&[]), &["image_shape", "[]"]);
    for side in [1 << 20, i64::MAX] {
        let shape = arr1(&[3, side, side]);
        refused(
            &|a| a.shape = shape.clone(),
            &["image_shape", "17179869184 numbers a datum at most"],
        );
    }
    refused(&|a| a.alpha_bar[2] = 0.95, &["alpha_bar"]);

    let text = folder.path().join("errors.npz");
    std::fs::write(&text, "t,mse").unwrap();
    import(&text, &out).fails(3, &["errors.npz", "a readable .npz archive"]);
    import(&folder.path().join("absent.npz"), &out).fails(3, &["absent.npz", "no such file"]);
    Ddpm::new("profile")
        .arg("x.pt")
        .file("--import", &text)
        .file("--out", &out)
        .fails(2, &["--import"]);
    Ddpm::new("profile").file("--out", &out).fails(2, &["CKPT"]);
}

#[test]
fn sums_of_bands_that_no_images_have() {
    let folder = scratch();
    let out = folder.path().join("p");
    let refused = |change: &dyn Fn(&mut Arrays, &mut BandArrays), named: &[&str]| {
        let mut arrays = Arrays::with_bands();
        let mut bands = arrays.bands.take().unwrap();
        change(&mut arrays, &mut bands);
        arrays.bands = Some(bands);
        let file = arrays.write(folder.path());
        import(&file, &out).fails(3, &[&["errors.npz", "expected"], named].concat());
        assert!(!out.exists(), "half a profile");
    };
    for key in ["band_edges", "band_channels", "band_products", "band_means"] {
        let key: &'static str = key;
        refused(&|a, _| a.without = key, &[key, "no such array"]);
    }
    refused(
        &|_, b| b.edges[1] = 2.0 * b.edges[2],
        &["band_edges", "the first 0", "ascend"],
    );
    refused(
        &|_, b| b.channels[[0, 0]] += 0.1,
        &["band_channels", "orthonormal"],
    );
    refused(
        &|_, b| b.channels = arr2(&[[1.0]]),
        &["band_channels", "[1, 1]", "[3, 8, 8]"],
    );
    // Fewer bands than these edges make of such images.
    refused(
        &|_, b| b.products = Array4::zeros((2, 3, 5, 6)),
        &["band_products", "[2, 3, ", "found shape [2, 3, 5, 6]"],
    );
    refused(
        &|_, b| b.means = Array4::zeros((2, 3, 1, 3)),
        &["band_means", "[2, 3, 3, 3]", "found shape [2, 3, 1, 3]"],
    );
    // Bands of other images, or of edges of one's own, hold other coefficients.
    refused(
        &|a, _| a.shape = arr1(&[3, 8, 4]),
        &["band_products", "found shape"],
    );
    refused(
        &|a, _| a.shape = arr1(&[1, 8, 8]),
        &["band_channels", "[3, 3]"],
    );
    refused(
        &|a, _| a.shape = arr1(&[3, 1 << 13, 1 << 13]),
        &["image_shape", "4096"],
    );
    let of = "block 1 at t = 3, band 4: ";
    let at = |of: usize| [1, 1, 4, of];
    refused(
        &|_, b| b.products[at(2)] = f64::NAN,
        &["band_products", of, "e n", "finite", "NaN"],
    );
    refused(
        &|_, b| b.products[at(3)] = -1.0,
        &["band_products", of, "h^2", "at least 0", "-1"],
    );
    refused(
        &|_, b| b.products[at(1)] = 1.0,
        &["band_products", of, "e h", "the root of e^2 times h^2"],
    );
    refused(
        &|_, b| b.means[[1, 1, 0, 1]] = -1.5,
        &["band_means", "band 0: h", "its mean square allows", "-1.5"],
    );
    refused(
        &|_, b| b.products[at(0)] *= 1.1,
        &["block 1 at t = 3", "mean of e^2", "squared errors, 5e-1"],
    );
}

/// Bands of edges of one's own are kept as they are.
#[test]
fn an_import_may_have_bands_of_its_own() {
    let folder = scratch();
    let out = folder.path().join("p");
    let mut arrays = Arrays::with_bands();
    if let Some(bands) = &mut arrays.bands {
        // The constant, and the others of a channel.
        let of_two = [0, 1, 10, 11, 20, 21];
        bands.edges = arr1(&[0.0, 0.5]);
        bands.channels = Array2::eye(3);
        bands.products = bands.products.select(ndarray::Axis(2), &of_two);
    }
    import(&arrays.write(folder.path()), &out).run().succeeds();
    let profile = ElboProfile::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    let bands = profile.layout().bands().unwrap();
    assert_eq!(bands.edges(), [0.0, 0.5]);
    assert_eq!(bands.sizes(), [1, 63, 1, 63, 1, 63]);
    assert!(profile.variances().contains(&VarianceKind::Spectral));
}

/// The formula of tests/peers/check_hook_bands.py: number `index` of a stream, in [-1, 1).
fn uniform(stream: u64, index: usize) -> f64 {
    let mut z = (index as u64 + (stream << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-52) - 1.0
}

/// What the hook summed up and what the library measures on the same images and noise.
#[test]
fn bands_of_the_hook_are_those_that_the_library_measures() {
    const STEPS: usize = 8;
    const IMAGES: usize = 40;
    const PER_BLOCK: usize = 10;
    let folder = scratch();
    let noise_schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, STEPS).unwrap();
    for (name, shape) in [
        ("colour", &[3, 6, 4][..]),
        ("gray", &[1, 5, 7]),
        ("signal", &[2, 9]),
        ("vector", &[11]),
    ] {
        let file = golden(&format!("hook-bands/{name}.npz"));
        let out = folder.path().join(name);
        import(&file, &out).run().succeeds();
        let imported = ElboProfile::from_bytes(&std::fs::read(&out).unwrap()).unwrap();

        let layout = ProfileLayout::new(&noise_schedule, (1..=STEPS).collect(), false, 8)
            .unwrap()
            .with_bands(Bands::of_shape(shape).unwrap());
        // Bit by bit the usual ones, so that such profiles go together.
        assert_eq!(imported.layout().bands(), layout.bands(), "{name}");
        let dims: usize = shape.iter().product();
        let mut blocks = Vec::new();
        for image in 0..IMAGES {
            if image % PER_BLOCK == 0 {
                blocks.push(Block::new(&layout, (image / PER_BLOCK) as u64));
            }
            let block = blocks.last_mut().unwrap();
            let level = 0.3 * uniform(4, image);
            let pixels = |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..dims).map(f).collect() };
            let x0 = pixels(&|d| 0.6 * uniform(1, image * dims + d) + level);
            block.add_image(x0.iter().map(|x| x * x).sum::<f64>() / dims as f64);
            for t in 1..=STEPS {
                let at = |d: usize| (image * STEPS + t - 1) * dims + d;
                let sigma = noise_schedule.one_minus_alpha_bar(t).sqrt();
                let signal = noise_schedule.alpha_bar(t).sqrt();
                let noise = |d: usize| 1.5 * uniform(2, at(d));
                let x_t = pixels(&|d| signal * x0[d] + sigma * noise(d));
                let xhat0 = pixels(&|d| {
                    0.7 * x0[d] - 0.2 * sigma * noise(d) + 0.1 + 0.1 * uniform(3, at(d))
                });
                let estimate = Reconstruction {
                    x0: &x0,
                    x_t: Some(&x_t),
                    xhat0: &xhat0,
                    v: None,
                };
                block
                    .add(t - 1, &layout.measure(t - 1, &estimate).unwrap())
                    .unwrap();
            }
        }
        let origin = imported.provenance().clone();
        let measured = ElboProfile::new(origin, noise_schedule.clone(), layout, blocks).unwrap();
        for key in ["band_products", "band_means", "moments", "x0_mean_square"] {
            let of = |profile: &ElboProfile| -> Vec<f64> {
                let bytes = profile.to_bytes();
                let file = SafeTensors::deserialize(&bytes).unwrap();
                let data = file.tensor(key).unwrap().data().to_vec();
                let words = data.as_chunks().0.iter().copied();
                words.map(f64::from_le_bytes).collect()
            };
            let (found, expected) = (of(&imported), of(&measured));
            assert!(expected.iter().any(|x| x.abs() > 1e-3), "{name} {key}");
            assert_close(&format!("{name} {key}"), &found, &expected, 1e-11);
        }

        let mut totals = Vec::new();
        for (variance, mean) in [
            (VarianceKind::Analytic, MeanKind::Network),
            (VarianceKind::Spectral, MeanKind::Network),
            (VarianceKind::Spectral, MeanKind::Calibrated),
            (VarianceKind::Best, MeanKind::Calibrated),
        ] {
            let scoring = Scoring::new(variance)
                .with_mean(mean)
                .with_decoder(DecoderKind::Gaussian);
            let budgets = Budgets::Only(vec![2, 4, 8]);
            let of = |profile: &ElboProfile| {
                let curves = Curves::from_profile(profile).unwrap();
                let model = CostModel::new(&curves, curves.freeze(&scoring).unwrap()).unwrap();
                let schedules = choose(&model, &budgets, None).unwrap();
                let costs = schedules.budgets.iter().map(|budget| budget.cost);
                let paths = schedules.budgets.iter().map(|b| b.schedule.path.clone());
                (costs.collect::<Vec<f64>>(), paths.collect::<Vec<_>>())
            };
            let (found, expected) = (of(&imported), of(&measured));
            assert_eq!(found.1, expected.1, "{name} {variance} {mean}");
            assert_close(&format!("{name} {variance}"), &found.0, &expected.0, 1e-10);
            totals.push(found.0[0]);
        }
        let [analytic, spectral, calibrated, best] = totals[..] else {
            unreachable!("four kernels")
        };
        assert!(
            analytic > spectral && spectral > calibrated + 0.05,
            "{name}: {totals:?}"
        );
        assert!(best <= calibrated, "{name}: {totals:?}");
        // And through the command: what is offered is what the profile can serve.
        let table = Ddpm::new("table")
            .arg(&out)
            .arg(&out)
            .words("--steps 4 --decoder gaussian")
            .json();
        let offered = table["rows"].as_array().unwrap();
        assert!(
            offered.iter().any(|row| row["variance"] == "spectral"),
            "{name}"
        );
    }
}
