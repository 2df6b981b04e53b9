//! Every document that `ddpm` prints is the one that its type describes: no field more, none less, in that order.

use std::fmt::Debug;

use ddpm::schedule::results::{self, document};
use ddpm::schedule::{SampleRecord, Schedules};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fid::network;
use crate::support::{Ddpm, golden, images_of_shape, scratch, small, small_profile, write_npy};

/// What the command prints, read into its type.
fn printed<T: Serialize + DeserializeOwned + Debug>(command: Ddpm) -> T {
    let value: Value = command.json();
    let found: T =
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    let again = document(&found).unwrap();
    // As text: the order counts.
    assert_eq!(again.to_string(), value.to_string());
    found
}

#[test]
fn of_profiles_and_what_follows_from_them() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let train = small_profile(folder.path(), "train", 4, 0.0);
    let test = small_profile(folder.path(), "test", 4, 0.5);
    let data = at("train.images.safetensors");

    let shard = |i: usize| {
        let out = at(&format!("shard{i}"));
        let command = small("profile")
            .file("--data", &data)
            .words(&format!("--shard {i}/2"))
            .file("--out", &out);
        printed::<results::Profile>(command);
        out
    };
    let parts = [shard(0), shard(1)];
    let merge = Ddpm::new("merge").arg(&parts[0]).arg(&parts[1]);
    let merged: results::Merge = printed(merge.file("--out", &at("merged")));
    assert!(merged.missing_blocks.is_empty());

    let table = |flags: &str| {
        let command = Ddpm::new("table").arg(&train).arg(&test);
        printed::<results::Table>(command.words("--steps 1,4").words(flags))
    };
    let rows = table("--start free").rows;
    assert!(rows.iter().any(|row| row.dp_minus_this.is_some()));
    assert_eq!(table("--zero-based").rows[0].path, [39]);

    let file = at("s.json");
    let command = Ddpm::new("schedule").arg(&train).words("--steps 2,4");
    let value = command.file("--out", &file).json();
    let schedules = Schedules::from_json(&value.to_string()).unwrap();
    assert_eq!(schedules.budgets.len(), 2);
    let export = |flags: &str| {
        let command = Ddpm::new("export").arg(&file).words(flags);
        printed::<results::Exported>(command)
    };
    assert_eq!(export("--format comfyui").export.lists.len(), 2);

    let bpd = |flags: &str| {
        let command = small("bpd").file("--data", &data).words(flags);
        printed::<results::BitsPerDim>(command.words("--limit 2"))
    };
    let scored = bpd("--path 1,4,40");
    let total: f64 = scored.terms.iter().map(|term| term.bpd[0]).sum();
    let found = scored.total_bpd.unwrap()[0];
    assert!((total + scored.prior_bpd[0] - found).abs() < 1e-9);
    assert_eq!(bpd("--path 1,4,40 --terms 4").total_bpd, None);

    let plot = Ddpm::new("plot").arg("timesteps").arg(&file);
    printed::<results::Plot>(plot.file("--out", &at("f.svg")));
    let grid = at("grid.png");
    let sample = small("sample").file("--schedule", &file);
    let sample = sample.words("--steps 2 --count 2").file("--out", &grid);
    assert_eq!(printed::<results::Sample>(sample).count, 2);
    let record = std::fs::read(at("grid.png.run.json")).unwrap();
    assert_eq!(SampleRecord::from_json(&record).unwrap().count, 2);

    let report: results::Report = printed(Ddpm::new("report").arg(folder.path()));
    assert!(report.images.iter().any(|image| image.record));
    assert!(report.profiles.len() > 3 && report.schedules.len() == 1);
}

#[test]
fn of_networks_paths_and_tables() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let found: results::Inspect = printed(small("inspect"));
    assert_eq!(found.config.train_steps, Some(40));
    let checkpoint = golden("unet-hybrid-16px.pt");
    let open: results::Inspect = printed(Ddpm::new("inspect").arg(&checkpoint));
    assert_eq!(open.config.train_steps, None);
    printed::<results::Bench>(small("bench").words("--rounds 1 --batch 1"));
    let predict = small("predict").file("--input", &golden("unet-hybrid-16px.io.safetensors"));
    printed::<results::Predict>(predict.file("--output", &at("o.safetensors")));
    let trajectory = small("trajectory").words("--count 1 --nodes 8 --steps 3");
    let made: results::Trajectory = printed(trajectory.file("--out", &at("t.safetensors")));
    assert_eq!((made.nodes.len(), made.trials.is_empty()), (8, false));

    for path in ["all", "1,20,40", "40"] {
        let transitions = Ddpm::new("transitions")
            .words("--noise-schedule cosine --train-steps 40 --path")
            .arg(path);
        let found: results::Transitions = printed(transitions);
        assert_eq!(found.betas.len() + 1, found.path.len());
    }
    let costs: Vec<f64> = (0..16).map(f64::from).collect();
    write_npy(&at("cost.npy"), &[4, 4], &costs);
    let solve = |flags: &str| {
        printed::<results::Solve>(Ddpm::new("solve").arg(at("cost.npy")).words(flags))
    };
    assert_eq!(solve("--zero-based").budgets.len(), 3);
    // The word of the other commands.
    assert_eq!(solve("--steps 2"), solve("--budgets 2"));
}

#[test]
fn of_distances() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let sets = ["a", "b", "c"].map(|name| at(&format!("{name}.safetensors")));
    for (i, set) in sets.iter().enumerate() {
        images_of_shape(set, [32, 3, 32, 32], 0.3 * i as f32);
    }
    let network = network(folder.path());
    let [a, b, c] = &sets;
    let fid = || {
        let command = Ddpm::new("fid").arg(a).words("--allow-few");
        command.file("--features", &network)
    };
    let alone = fid().file("--save-statistics", &at("a.npz"));
    let found: results::FidStatistics = printed(alone);
    assert_eq!(found.a.images, Some(32));
    let found: results::Fid = printed(fid().arg(b).file("--versus", c));
    let versus = found.versus.unwrap();
    let difference = found.frechet.value - versus.frechet.value;
    assert!((versus.difference.value - difference).abs() < 1e-9);
    let statistics = fid().arg(at("a.npz"));
    let found: results::Fid = printed(statistics);
    assert!(found.kid.is_none() && found.versus.is_none());
}
