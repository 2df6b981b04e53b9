//! `ddpm fid`: sets of images and statistics of them, and every way to get it wrong.

use std::path::{Path, PathBuf};

use ddpm_eval::distance::{FeatureStatistics, write_statistics};
use ndarray::{Array1, Array2};
use safetensors::tensor::Dtype;
use serde_json::Value;
use tempfile::TempDir;

#[path = "../golden/tools/resnet8.rs"]
mod resnet8;

use crate::support::{Ddpm, images_of_shape, little_endian, safetensors, scratch};

/// A CIFAR ResNet of 8 layers with weights by a formula.
pub(crate) fn network(folder: &Path) -> PathBuf {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    resnet8::resnet8(|name, shape| {
        let count: usize = shape.iter().product();
        let (scale, offset) = match name.rsplit('.').next() {
            _ if shape.len() == 4 => ((6.0 / (count / shape[0]) as f64).sqrt(), 0.0),
            _ if name.starts_with("linear.") => (0.1, 0.0),
            Some("weight") => (0.2, 1.0),
            Some("running_var") => (0.3, 1.0),
            _ => (0.1, 0.0),
        };
        let seed = tensors.len() as f64;
        let values: Vec<f32> = (0..count)
            .map(|i| (i as f64 * 0.618_033_988_749_895 + seed * 0.37).fract() * 2.0 - 1.0)
            .map(|u| (offset + scale * u) as f32)
            .collect();
        tensors.push((name, shape.to_vec(), little_endian(&values)));
    });
    let path = folder.join("resnet8.safetensors");
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| (name.as_str(), Dtype::F32, shape.as_slice(), data.clone()))
        .collect();
    safetensors(&path, &views);
    path
}

/// Two sets of smooth images, and the network.
struct Sets {
    folder: TempDir,
    a: PathBuf,
    b: PathBuf,
    network: PathBuf,
}

fn sets() -> Sets {
    let folder = scratch();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(format!("{name}.safetensors")));
    images_of_shape(&a, [96, 3, 32, 32], 0.0);
    images_of_shape(&b, [80, 3, 32, 32], 0.35);
    let network = network(folder.path());
    Sets {
        folder,
        a,
        b,
        network,
    }
}

/// `ddpm fid` without the surrounding run's network or cache.
fn fid(sets: &Sets) -> Ddpm {
    let cache = sets.folder.path().join("cache");
    Ddpm::new("fid")
        .env("DDPM_FEATURES", "")
        .env("XDG_CACHE_HOME", &cache.display().to_string())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn two_sets_of_images_get_every_measure() {
    let sets = sets();
    let run = |threads: &str| {
        fid(&sets)
            .arg(&sets.a)
            .arg(&sets.b)
            .file("--features", &sets.network)
            .words("--allow-few --threads")
            .arg(threads)
            .words(if threads == "1" { "--batch 7" } else { "" })
            .json()
    };
    let found = run("1");
    assert_eq!(found, run("3"), "threads and batches change nothing");
    assert_eq!(found["metric"], "FD(resnet8)");
    // There is no reference of a distance that is not the FID.
    assert!(found.get("weights").is_none());
    assert_eq!(found["features"]["network"], "resnet8");
    assert_eq!(found["a"]["images"], 96);
    assert_eq!(found["b"]["images"], 80);
    assert!(number(&found["frechet"]["value"]) > 0.0);
    assert!(number(&found["frechet"]["stderr"]) > 0.0);
    assert_eq!(found["frechet"]["blocks"], 32);
    assert!(number(&found["kid"]["stderr"]) > 0.0);
    assert_eq!(found["kid"]["subset_size"], 10);
    for measure in ["precision", "recall", "coverage"] {
        assert!((0.0..=1.0).contains(&number(&found["neighbours"][measure])));
    }
    let text = fid(&sets)
        .arg(&sets.a)
        .arg(&sets.b)
        .file("--features", &sets.network)
        .words("--allow-few")
        .run()
        .succeeds()
        .stdout();
    let sha256 = found["features"]["sha256"].as_str().unwrap();
    for words in [
        "FD(resnet8)",
        "96 images",
        "80 images",
        "biased upwards",
        sha256,
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("FID"), "{text}");
}

#[test]
fn a_set_does_not_differ_from_itself_and_statistics_stand_for_their_images() {
    let sets = sets();
    let statistics = sets.folder.path().join("b.npz");
    let saved = fid(&sets)
        .arg(&sets.b)
        .file("--save-statistics", &statistics)
        .file("--features", &sets.network)
        .words("--allow-few")
        .json();
    assert_eq!(saved["a"]["images"], 80);
    let against = |b: &Path| {
        fid(&sets)
            .arg(&sets.a)
            .arg(b)
            .env("DDPM_FEATURES", &sets.network.display().to_string())
            .words("--allow-few")
            .json()
    };
    let (images, stored) = (against(&sets.b), against(&statistics));
    assert_eq!(images["frechet"], stored["frechet"]);
    assert_eq!(stored["b"]["kind"], "statistics");
    assert!(stored["kid"].is_null() && stored["neighbours"].is_null());
    // Two files of statistics need no network.
    let same = fid(&sets)
        .arg(&statistics)
        .arg(&statistics)
        .words("--allow-few")
        .json();
    assert_eq!(same["metric"], "FD(resnet8)");
    assert!(number(&same["frechet"]["value"]) < 1e-9);
    let other = images["frechet"]["value"].as_f64().unwrap();
    assert!(other > 1e-5, "{other}");
}

/// Writes the statistics of the second set.
fn save_statistics(sets: &Sets, file: &Path) {
    fid(sets)
        .arg(&sets.b)
        .file("--save-statistics", file)
        .file("--features", &sets.network)
        .words("--allow-few")
        .run()
        .succeeds();
}

#[test]
fn two_samples_are_compared_in_pairs() {
    let sets = sets();
    let [c, few, statistics] =
        ["c.safetensors", "few.safetensors", "b.npz"].map(|name| sets.folder.path().join(name));
    images_of_shape(&c, [96, 3, 32, 32], 0.02);
    images_of_shape(&few, [95, 3, 32, 32], 0.02);
    let run = |a: &Path, versus: &Path| {
        fid(&sets)
            .arg(a)
            .arg(&sets.b)
            .file("--versus", versus)
            .file("--features", &sets.network)
            .words("--allow-few")
    };
    let alone = |a: &Path| {
        fid(&sets)
            .arg(a)
            .arg(&sets.b)
            .file("--features", &sets.network)
            .words("--allow-few")
            .json()["frechet"]
            .clone()
    };
    let found = run(&sets.a, &c).json();
    assert_eq!(found["frechet"], alone(&sets.a));
    assert_eq!(found["versus"]["frechet"], alone(&c));
    let difference = &found["versus"]["difference"];
    let [a, c_alone] =
        [&found["frechet"], &found["versus"]["frechet"]].map(|e| number(&e["value"]));
    assert!((number(&difference["value"]) - (a - c_alone)).abs() < 1e-12);
    assert!(number(&difference["value"]) != 0.0 && number(&difference["stderr"]) > 0.0);
    let same = run(&sets.a, &sets.a).json();
    for key in ["value", "stderr"] {
        assert_eq!(number(&same["versus"]["difference"][key]), 0.0);
    }
    let text = run(&sets.a, &c)
        .words("--limit 64")
        .run()
        .succeeds()
        .stdout();
    for words in ["first minus that", "c.safetensors", "of pairs"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }

    run(&sets.a, &few).fails(3, &["--versus", "96", "95", "few.safetensors"]);
    run(&sets.a, &c)
        .words("--jackknife 0")
        .fails(2, &["--versus", "--jackknife"]);
    save_statistics(&sets, &statistics);
    run(&sets.a, &statistics).fails(2, &["--versus", "b.npz holds statistics"]);
}

#[test]
fn statistics_of_other_programs_are_read_and_named_with_care() {
    let sets = sets();
    let write = |name: &str, dims: usize, mean: f64| {
        let path = sets.folder.path().join(name);
        let statistics =
            FeatureStatistics::from_moments(Array1::from_elem(dims, mean), Array2::eye(dims));
        write_statistics(&path, &statistics.unwrap()).unwrap();
        path
    };
    let (a, b, c) = (
        write("s.npz", 3, 0.0),
        write("t.npz", 3, 2.0),
        write("u.npz", 4, 0.0),
    );
    let found = fid(&sets).arg(&a).arg(&b).json();
    assert_eq!(found["metric"], "FD(3 features)");
    assert!((number(&found["frechet"]["value"]) - 12.0).abs() < 1e-12);
    assert!(found["a"]["images"].is_null());
    let run = |a: &Path, b: &Path| fid(&sets).arg(a).arg(b).words("--allow-few");
    run(&a, &c).fails(3, &["s.npz", "3 features", "u.npz", "4 features"]);
    run(&sets.a, &a).file("--features", &sets.network).fails(
        3,
        &["64 features of resnet8", "3 features of an unnamed network"],
    );
    // No sum of features varies by less than nothing.
    let minus = sets.folder.path().join("minus.npz");
    let mut covariance = Array2::eye(3);
    (covariance[[0, 1]], covariance[[1, 0]]) = (2.0, 2.0);
    let moments = FeatureStatistics::from_moments(Array1::zeros(3), covariance);
    write_statistics(&minus, &moments.unwrap()).unwrap();
    run(&a, &minus).fails(3, &["minus.npz", "positive"]);
    run(&minus, &a).fails(3, &["minus.npz", "positive"]);
    std::fs::write(sets.folder.path().join("broken.npz"), b"PK\x03\x04").unwrap();
    run(&sets.folder.path().join("broken.npz"), &a).fails(3, &["broken.npz", ".npz archive"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let sets = sets();
    let with = |words: &str| {
        fid(&sets)
            .arg(&sets.a)
            .arg(&sets.b)
            .file("--features", &sets.network)
            .words(words)
    };
    with("").fails(3, &["a.safetensors", "96 images", "2048", "--allow-few"]);
    with("--allow-few --limit 97").fails(3, &["--limit", "96", "97"]);
    with("--allow-few --jackknife 49").fails(3, &["--jackknife", "49"]);
    with("--allow-few --nearest 80").fails(3, &["--nearest"]);
    with("--allow-few --kid-subset-size 81").fails(3, &["--kid-subset-size", "80"]);
    with("--download").fails(2, &["--download"]);
    fid(&sets).arg(&sets.a).fails(2, &["<B>"]);
    // No network named anywhere.
    let few = |ddpm: Ddpm| ddpm.arg(&sets.a).arg(&sets.b).words("--allow-few");
    few(fid(&sets)).fails(2, &["--features", "DDPM_FEATURES", "--download"]);
    let weights = sets.folder.path().join("weights.safetensors");
    safetensors(&weights, &[("x", Dtype::F32, &[1], little_endian(&[1.0]))]);
    few(fid(&sets))
        .file("--features", &weights)
        .fails(3, &["weights.safetensors", "Inception"]);
    let small = sets.folder.path().join("small.safetensors");
    images_of_shape(&small, [10, 3, 16, 16], 0.0);
    fid(&sets)
        .arg(&small)
        .arg(&sets.b)
        .file("--features", &sets.network)
        .words("--allow-few")
        .fails(3, &["small.safetensors", "16x16", "32x32"]);
    // A folder with two splits has to be told which.
    let split = sets.folder.path().join("split");
    std::fs::create_dir(&split).unwrap();
    for name in ["train", "test"] {
        images_of_shape(
            &split.join(format!("{name}.safetensors")),
            [40, 3, 32, 32],
            0.0,
        );
    }
    let two = |words: &str| {
        fid(&sets)
            .arg(&sets.a)
            .arg(&split)
            .file("--features", &sets.network)
            .words("--allow-few")
            .words(words)
    };
    two("").fails(2, &["--split-b train", "--split-b test"]);
    let found = two("--split-b train").json();
    assert_eq!(found["b"]["split"], "train");
}

/// Flags that choose among images or work on them are not passed over where there are none.
#[test]
fn statistics_take_no_flags_of_images() {
    let sets = sets();
    let statistics = sets.folder.path().join("b.npz");
    save_statistics(&sets, &statistics);
    let run = |a: &Path, b: &Path, words: &str| {
        fid(&sets)
            .arg(a)
            .arg(b)
            .words("--allow-few")
            .words(words)
            .env("DDPM_FEATURES", &sets.network.display().to_string())
    };
    for (a, b, flags) in [
        (&sets.a, &statistics, "--split-b train"),
        (&sets.a, &statistics, "--limit 64"),
        (&sets.a, &statistics, "--kid-subset-size 8"),
        (&statistics, &sets.a, "--split-a test"),
        (&statistics, &sets.a, "--limit 64"),
        (&statistics, &sets.a, "--jackknife 8"),
        (&statistics, &statistics, "--batch 8"),
        (&statistics, &statistics, "--features x.pth"),
        (&statistics, &statistics, "--download"),
    ] {
        let flag = flags.split(' ').next().unwrap();
        run(a, b, flags).fails(2, &[flag, "b.npz holds statistics", "expected images"]);
    }
    run(&sets.a, &statistics, "--jackknife 8 --batch 16").json();
    run(&statistics, &sets.a, "--batch 16").json();
}

/// What is called a FID says whether it is one.
#[test]
fn a_fid_without_the_reference_weights_says_so() {
    const SHA256: &str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";
    let sets = sets();
    let write = |name: &str, network: Option<&str>, weights: Option<&str>| {
        let path = sets.folder.path().join(name);
        let mut statistics = FeatureStatistics::from_moments(
            Array1::from_elem(2048, 0.01),
            Array2::zeros((2048, 2048)),
        )
        .unwrap();
        if let Some(network) = network {
            statistics = statistics.with_network(network);
        }
        if let Some(weights) = weights {
            statistics = statistics.with_weights(weights);
        }
        write_statistics(&path, &statistics).unwrap();
        path
    };
    let inception = Some("inception-2015-12-05");
    let reference = write("reference.npz", inception, Some(SHA256));
    let other = write("other.npz", inception, Some(&"0".repeat(64)));
    let untold = write("untold.npz", inception, None);
    let bare = write("bare.npz", None, None);
    let run = |a: &Path, b: &Path| fid(&sets).arg(a).arg(b);
    let found = run(&reference, &reference).json();
    assert_eq!(
        (&found["metric"], &found["weights"]),
        (&"FID".into(), &"reference".into())
    );
    let text = run(&reference, &reference).run().succeeds().stdout();
    assert!(!text.contains("not the reference weights"), "{text}");
    for b in [&other, &untold, &bare] {
        let found = run(&reference, b).json();
        assert_eq!(
            (&found["metric"], &found["weights"]),
            (&"FID".into(), &"assumed".into())
        );
        let text = run(b, &reference).run().succeeds().stdout();
        assert!(
            text.contains("not the reference weights") && text.contains(SHA256),
            "{text}"
        );
    }
}

mod needs_curl {
    use super::*;

    /// A download that is not the file it should be is not kept.
    #[test]
    #[ignore = "needs curl"]
    fn a_wrong_download_is_refused() {
        let sets = sets();
        let run = |url: &str| {
            fid(&sets)
                .env("DDPM_INCEPTION_URL", url)
                .arg(&sets.a)
                .arg(&sets.b)
                .words("--allow-few --download")
                .run()
        };
        let url = format!("file://{}", sets.network.display());
        run(&url).fails(3, &["SHA-256", "6726825d0af5f729"]);
        // Hashed as it is: nothing is made of a file that is not the right one.
        let page = sets.folder.path().join("page.html");
        std::fs::write(&page, "abc").unwrap();
        run(&format!("file://{}", page.display()))
            .fails(3, &["found ba7816bf8f01cfea414140de5dae2223"]);
        let absent = format!("file://{}", sets.folder.path().join("absent").display());
        run(&absent).fails(5, &["download", "absent"]);
        assert!(!sets.folder.path().join("cache").exists());
    }
}
