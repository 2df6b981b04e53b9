//! `ddpm profile --import` and `ddpm schedule --mse F.npz`: squared errors that another program summed up.

use std::fs::File;
use std::path::{Path, PathBuf};

use ddpm::core::Bands;
use ddpm_files::npz::{NpzArchive, NpzWriter};
use ndarray::{Array, Array1, Array2, Array3, Array4, arr0, arr1, arr2};

use crate::support::{Ddpm, assert_close, golden, numbers, scratch};

/// The arrays of a good file: T = 4, three timesteps, two blocks.
struct Arrays {
    t: Array1<i64>,
    sums: Array2<f64>,
    counts: Array2<i64>,
    squares: Array1<f64>,
    shape: Array1<i64>,
    alpha_bar: Array1<f64>,
    without: &'static str,
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
            without: "",
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
        npz.finish().unwrap();
        path
    }
}

fn import(file: &Path, out: &Path) -> Ddpm {
    Ddpm::new("profile")
        .file("--import", file)
        .file("--out", out)
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

/// With the moments of bands an imported profile serves the spectral variance, whose costs are computed here from the arrays.
#[test]
fn recorded_bands_give_spectral_schedules() {
    let folder = scratch();
    let file = golden("squared-errors-bands.npz");
    let profile = folder.path().join("p");
    import(&file, &profile).run().succeeds();
    let mut archive = NpzArchive::open(&file).unwrap();
    let mut array = |key: &str| archive.floats(key, "an array of the file").unwrap();
    let (products, counts, alpha_bar) =
        (array("band_products"), array("count"), array("alpha_bar"));
    let (band_of, t) = (array("band_of"), array("t"));
    let images: f64 = counts.iter().sum::<f64>() / t.len() as f64;
    let snr = |t: usize| alpha_bar[[t - 1]] / (1.0 - alpha_bar[[t - 1]]);
    let bands = products.shape()[2];
    let cost = |t_: usize, s: usize| -> f64 {
        let i = t.iter().position(|&t| t == t_ as f64).unwrap();
        let of_band = |band: usize| {
            let weight = band_of.iter().filter(|&&b| b == band as f64).count() as f64;
            let blocks = products.shape()[0];
            let power = (0..blocks).map(|b| products[[b, i, band, 0]]).sum::<f64>() / images;
            weight * ((snr(s) - snr(t_)) * power).ln_1p()
        };
        (0..bands).map(of_band).sum::<f64>() / band_of.len() as f64 / 2.0 / std::f64::consts::LN_2
    };
    let of = |flags: &str| {
        Ddpm::new("schedule")
            .file("--mse", &file)
            .words("--steps 3 --mean network --decoder none --variance")
            .words(flags)
            .json()
    };
    let spectral = of("spectral");
    let again = Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 3 --mean network --decoder none --variance spectral")
        .json();
    assert_eq!(spectral["budgets"], again["budgets"]);
    let spent = |found: &serde_json::Value| found["budgets"][0]["cost"].as_f64().unwrap();
    assert!(spent(&spectral) < spent(&of("analytic")));
    // The last timesteps are all evaluated; the step onto the data has no term.
    let path = numbers(&spectral["budgets"][0]["path"]);
    let path: Vec<usize> = path.iter().map(|&t| t as usize).collect();
    assert_eq!(path, [0, 58, 59, 60]);
    let by_hand = cost(59, 58) + cost(60, 59);
    assert_close("interior", &[spent(&spectral)], &[by_hand], 1e-9);
}

#[test]
fn recorded_bands_that_contradict_their_file_are_refused() {
    let folder = scratch();
    let good = Arrays::good();
    let bands = Bands::of_shape(&[3, 8, 8]).unwrap();
    let band_of: Vec<i64> = bands.of_coefficients().iter().map(|&b| b as i64).collect();
    let band_of = Array::from_shape_vec((3, 8, 8), band_of).unwrap();
    // Every band has the power of the whole.
    let products = Array4::from_shape_fn((2, 3, bands.count(), 6), |(b, i, _, k)| match k {
        0 => good.sums[[b, i]],
        3 | 5 => 1.0,
        _ => 0.0,
    });
    let means = Array4::<f64>::zeros((2, 3, 3, 3));
    let refused = |band_of: &Array3<i64>,
                   products: &Array4<f64>,
                   means: Option<&Array4<f64>>,
                   words: &[&str]| {
        let plain = good.write(folder.path());
        let file = folder.path().join("bands.npz");
        let mut npz = NpzWriter::new_compressed(File::create(&file).unwrap());
        let mut archive = NpzArchive::open(&plain).unwrap();
        for key in ["t", "count", "image_shape"] {
            let array = archive.counts(key, "whole numbers").unwrap();
            npz.add_array(key, &array.mapv(|n| n as i64)).unwrap();
        }
        for key in ["sum_squared_error", "x0_mean_square", "alpha_bar"] {
            npz.add_array(key, &archive.floats(key, "numbers").unwrap())
                .unwrap();
        }
        npz.add_array("clip_denoised", &arr0(true)).unwrap();
        npz.add_array("band_of", band_of).unwrap();
        npz.add_array("band_products", products).unwrap();
        if let Some(means) = means {
            npz.add_array("band_means", means).unwrap();
        }
        npz.finish().unwrap();
        let out = folder.path().join("out");
        if words.is_empty() {
            import(&file, &out).run().succeeds();
            std::fs::remove_file(out).unwrap();
        } else {
            import(&file, &out).fails(3, words);
            assert!(!out.exists());
        }
    };
    refused(&band_of, &products, Some(&means), &[]);
    refused(&band_of, &products, None, &["bands.npz", "band_means"]);
    let mut other = band_of.clone();
    other[[1, 2, 3]] += 1;
    refused(&other, &products, Some(&means), &["bands.npz", "band_of"]);
    let short = products.slice(ndarray::s![.., .., 1.., ..]).to_owned();
    refused(
        &band_of,
        &short,
        Some(&means),
        &["band products of block 0 at t = 1"],
    );
    let flat = products.slice(ndarray::s![.., .., .., ..5]).to_owned();
    refused(&band_of, &flat, Some(&means), &["band_products", "6"]);
    for (value, word) in [(f64::NAN, "finite"), (-1.0, "at least 0"), (9.0, "add up")] {
        let mut wrong = products.clone();
        wrong[[1, 2, 7, 0]] = value;
        refused(&band_of, &wrong, Some(&means), &["block 1 at t = 4", word]);
    }
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
fn blocks_of_unequal_counts_weigh_the_same() {
    let folder = scratch();
    let mut arrays = Arrays::good();
    arrays.counts = arr2(&[[2, 2, 2], [3, 5, 4]]);
    arrays.sums = arr2(&[[0.02, 0.4, 1.0], [0.03, 1.0, 2.0]]);
    let file = arrays.write(folder.path());
    let found = import(&file, &folder.path().join("p")).json();
    assert_eq!(found["images"], 4);
    let m = 0.5 * (1.0 / 2.0 + 2.0 / 4.0);
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
    refused(
        &|a| a.t = arr1(&[1, 3, 3]),
        &["timesteps", "3 followed by 3"],
    );
    refused(&|a| a.t = arr1(&[1, -3, 3]), &["t: ", "-3"]);
    refused(
        &|a| a.t = arr1(&[1, 3]),
        &["sum_squared_error", "[2, 3]", "2 timesteps"],
    );
    refused(
        &|a| a.counts = arr2(&[[2, 2, 2]]),
        &["count", "1 blocks", "2 of sum_squared_error"],
    );
    refused(
        &|a| a.squares = arr1(&[0.3]),
        &["x0_mean_square", "1 blocks"],
    );
    refused(
        &|a| a.counts[[1, 2]] = 0,
        &["count of block 1 at t = 4", "at least one image"],
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
    refused(&|a| a.shape = arr1(&[8, 8]), &["image_shape", "[8, 8]"]);
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
