use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;

/// A document is read, without an unknown field, and printed again as it was, with the better words.
fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(mut printed: Value) -> T {
    let found: T = serde_json::from_value(printed.clone()).unwrap();
    assert_eq!(
        serde_json::to_string(&found).unwrap(),
        printed.to_string(),
        "keys and their order"
    );
    add_better_words(&mut printed, true);
    let document = document(&found).unwrap();
    assert_eq!(document, printed);
    printed["a_field_of_tomorrow"] = json!(1);
    let again: T = serde_json::from_value(printed).unwrap();
    // NaN is not equal to itself, but is printed as it was.
    assert_eq!(super::document(&again).unwrap(), document);
    found
}

#[test]
fn paths() {
    round_trips::<Solve>(json!({"T": 2, "method": "monge", "costs": [null, 0.5],
        "budgets": [{"steps": 2, "cost": 0.5, "path": [0, 1, 2]}]}));
    round_trips::<Transitions>(
        json!({"T": 2, "noise_schedule": "cosine", "path": [0, 2], "betas": [0.1],
        "alphas_cumprod": [0.9], "posterior_variance": [0.0], "posterior_log_variance_clipped": [null],
        "posterior_mean_coef1": [1.0], "posterior_mean_coef2": [0.0]}),
    );
    round_trips::<Trajectory>(
        json!({"out": "t.safetensors", "process": "flow", "count": 1, "nodes": [0, 2],
        "clip_denoised": true, "mean": "network", "evaluations": 7,
        "trials": [{"sampler": "dpm-solver++", "steps": 1, "distance": 0.25, "path": [0, 2], "coefficients": "solver"}]}),
    );
    round_trips::<Exported>(
        json!({"format": "comfyui", "T": 2, "noise_schedule": null, "variance": "learned",
        "decoder": null, "schedules": [{"steps": 1, "timesteps": [1], "sigmas": [2.5, 0.0]}], "not_taken_over": ["x"],
        "out": "s.txt"}),
    );
}

#[test]
fn likelihood() {
    round_trips::<Profile>(
        json!({"out": "p", "data_name": "d", "split": "test", "stand_in": false, "images": 4,
        "total_images": 8, "timesteps": 3, "evaluations": 12, "blocks": 1, "total_blocks": 2, "missing_blocks": [1],
        "clip_denoised": true, "precision": "f32", "seed": 0}),
    );
    round_trips::<Merge>(
        json!({"out": "p", "images": 8, "blocks": 2, "total_blocks": 2, "missing_blocks": []}),
    );
    let images =
        json!({"data_name": "d", "split": "test", "stand_in": true, "images": 4, "timesteps": 3});
    let table: Table = round_trips(
        json!({"T": 4, "clip_denoised": true, "chosen_on": images, "scored_on": images, "rows": [
        {"stride": "even", "variance": "fixed-small", "mean": "network", "decoder": "respaced", "scored_decoder": "marginal", "steps": 1,
         "bpd": 5.5, "stderr": null, "train_bpd": 5.25, "dp_minus_this": {"bpd": -0.5, "stderr": 0.25}, "path": [0, 4]},
        {"stride": "all", "variance": "analytic", "mean": "network", "decoder": "optimal", "scored_decoder": "optimal", "steps": 2,
         "bpd": 5.0, "stderr": 0.125, "train_bpd": 5.0, "dp_minus_this": null, "path": [0, 1, 4]}]}),
    );
    assert!(table.rows[0].standard_error.is_nan());
    assert_eq!(
        document(&table).unwrap()["rows"][1]["standard_error"],
        0.125
    );
    let bpd = |terms: Value, total: Value, mean: Value, error: Value| {
        json!({"T": 4, "noise_schedule": "linear", "path": [3], "variance": "learned", "mean": "network",
        "decoder": "respaced", "scored_decoder": "marginal", "clip_denoised": false, "precision": "bf16", "data_name": "d",
        "stand_in": false, "images": [5], "terms": terms, "prior_bpd": [0.001], "total_bpd": total, "bpd": mean, "stderr": error})
    };
    let null = || json!(null);
    let terms = json!([{"t": 3, "s": -1, "bpd": [4.0]}]);
    round_trips::<BitsPerDim>(bpd(terms, json!([null]), null(), null()));
    round_trips::<BitsPerDim>(bpd(json!([]), null(), null(), null()));
    round_trips::<BitsPerDim>(bpd(json!([]), json!([4.0, 5.0]), json!(4.5), json!(0.5)));
}

#[test]
fn distances() {
    round_trips::<Sample>(
        json!({"out": "s.png", "count": 4, "resumed": 0, "start_index": 0, "steps": 1, "path": [0, 4],
        "sampler": "ddim", "eta": 0.0, "variance": null, "mean": "network", "clip_last_noise": null, "clip_denoised": true, "precision": "f32",
        "class": null, "seed": 3, "coefficients": "solver"}),
    );
    let a = json!({"source": "a (test)", "kind": "images", "split": "test", "images": 64});
    let b = json!({"source": "b.npz", "kind": "statistics", "split": null, "images": null});
    let features = json!({"network": "resnet56", "dims": 64, "weights": "f", "sha256": "12ab"});
    round_trips::<FidStatistics>(json!({"a": a, "features": features, "statistics": "s"}));
    let distance = json!({"value": 3.5, "stderr": null, "blocks": 0});
    let fid = round_trips::<Fid>(
        json!({"a": b, "b": b, "metric": "FID", "weights": "assumed",
        "frechet": distance, "kid": null, "neighbours": null, "seed": 0}),
    );
    assert_eq!(fid.first.features, None);
    round_trips::<Fid>(
        json!({"a": a, "features": features, "b": a, "metric": "FD(resnet56)", "frechet": distance,
        "versus": {"source": "c", "kind": "images", "split": null, "images": 64, "frechet": distance, "difference": distance},
        "kid": {"value": 0.5, "stderr": null, "deviation": null, "subsets": 1, "subset_size": 8},
        "neighbours": {"precision": 0.5, "recall": 0.5, "density": 0.5, "coverage": 0.5, "nearest": 3, "images_a": 64,
            "images_b": 64}, "seed": 1}),
    );
    // A comparison that is damaged is no file of statistics.
    let damaged = json!({"a": a, "b": a, "metric": "FID", "frechet": 1.0});
    assert!(serde_json::from_value::<Fid>(damaged).is_err());
}

#[test]
fn networks() {
    let inspect = round_trips::<Inspect>(
        json!({"sha256": "12ab", "state_dict": "the file", "parameters": 7,
        "family": "x", "architecture": {"z": 1, "a": [2]}, "T": null, "noise_schedule": "linear", "rescale_timesteps": false,
        "parameterization": "epsilon", "variance": null, "clip_denoised": true, "preset": null, "sources": {"T": "flag"}}),
    );
    let printed = document(&inspect).unwrap();
    assert_eq!(printed["checkpoint_sha256"], "12ab");
    assert_eq!(printed["sources"], json!({"T": "flag"}));
    round_trips::<Predict>(json!({"output": "o", "shape": [1, 3, 8, 8], "rms": 0.5}));
    round_trips::<Bench>(
        json!({"ms_per_image": 2.0, "ms_per_image_least": 1.0, "ms_per_image_most": 3.0, "rounds": 3,
        "batch": 8, "image_size": 32, "precision": "f32", "device": "cpu", "isa": null, "threads": 2}),
    );
}

#[test]
fn pages() {
    round_trips::<Plot>(
        json!({"out": "f.svg", "title": "t", "x": "K", "y": "bits/dim",
        "series": [{"name": "dp", "points": [{"x": 1.0, "y": null, "stderr": 0.0}]}],
        "caption": "c"}),
    );
    round_trips::<Report>(
        json!({"folder": "f", "profiles": [{"file": "p", "sha256": "1", "data_name": "d",
        "split": "train", "stand_in": false, "images": 4, "timesteps": 3, "complete": true}],
        "schedules": [{"file": "s", "sha256": "2", "variance": "learned", "mean": "network", "decoder": "none", "objective": "mse",
            "start": "free", "steps": [4]}],
        "images": [{"file": "i.png", "width": 2, "height": 1, "record": false}], "evaluations": ["e"], "distances": [],
        "table5": null, "commands": 0, "left_out": [{"file": "n", "why": "w"}], "out": "r.html", "sections": ["table"],
        "missing": []}),
    );
    round_trips::<Stamp>(json!({"stage": "s", "command": "ddpm", "inputs": {"f": "12ab"}}));
}
