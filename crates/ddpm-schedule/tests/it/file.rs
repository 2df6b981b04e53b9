//! The file: round trips, and every way it can be wrong.

use ddpm_core::{
    DecoderKind, MeanKind, NoiseSchedule, Objective, Parameterization, Sampler, StartRule,
    TimePath, VarianceKind,
};
use ddpm_files::{FormatError, PartsChecksum};
use ddpm_schedule::{Error, Kernel, Provenance, Schedules, Scoring, Stability};
use serde_json::{Value, json};

use crate::support::{chosen, cosine, fixture, provenance, schedules};

#[test]
fn the_file_round_trips_and_has_the_stated_shape() {
    let schedules = schedules(&[2, 8]);
    let text = schedules.to_json().expect("numbers");
    assert_eq!(Schedules::from_json(&text).expect("readable"), schedules);
    let json: Value = serde_json::from_str(&text).expect("json");
    let keys: Vec<&str> = json
        .as_object()
        .expect("object")
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "format",
        "version",
        "T",
        "noise_schedule",
        "variance",
        "decoder",
        "objective",
        "start",
        "clip_denoised",
        "parameterization",
        "unit",
        "costs",
        "budgets",
        "provenance",
        "checksum",
    ];
    assert_eq!(keys, expected);
    assert_eq!(json["format"], "ddpm-schedules");
    assert_eq!(json["T"], 60);
    assert_eq!(json["unit"], "bits/dim");
    assert_eq!(json["costs"].as_array().map(Vec::len), Some(60));
    let budget = &json["budgets"][1];
    assert_eq!(budget["steps"], 8);
    assert_eq!(budget["path"].as_array().map(Vec::len), Some(9));
    assert_eq!(budget["log_variance"][3], Value::Null);
    assert_eq!(budget["cost"], json["costs"][7]);
    assert!(budget["prior_bpd"].as_f64().is_some_and(|p| p >= 0.0));
    // White space is free, contents are not.
    let compact = serde_json::to_string(&json).expect("json");
    assert_eq!(Schedules::from_json(&compact).expect("readable"), schedules);
    assert_eq!(schedules.noise_schedule, cosine(60));

    // For tools that count from 0, which take it for no schedules file.
    let zero_based = schedules.to_json_zero_based().expect("numbers");
    let other: Value = serde_json::from_str(&zero_based).expect("json");
    let nodes = |json: &Value| -> Vec<u64> {
        let path = json["budgets"][1]["path"].as_array().expect("a list");
        path.iter().filter_map(Value::as_u64).collect()
    };
    let moved: Vec<u64> = nodes(&json)[1..].iter().map(|t| t - 1).collect();
    assert_eq!(nodes(&other), moved);
    assert!(Schedules::from_json(&zero_based).is_err());
}

/// The text with this change and a checksum that fits.
fn signed(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut json: Value = serde_json::from_str(text).expect("json");
    change(&mut json);
    json["checksum"] = "".into();
    let mut sum = PartsChecksum::default();
    sum.part(&serde_json::to_vec(&json).expect("json"));
    json["checksum"] = sum.finish().into();
    serde_json::to_string_pretty(&json).expect("json") + "\n"
}

#[test]
fn damaged_and_newer_files_are_refused() {
    let text = schedules(&[2, 3]).to_json().expect("numbers");
    let format = |error| match error {
        Some(Error::Format(format)) => format,
        other => panic!("{other:?}"),
    };
    let read = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        format(Schedules::from_json(&text.replacen(from, to, 1)).err())
    };
    assert!(matches!(
        read("\"version\": 2", "\"version\": 8"),
        FormatError::NewerVersion {
            found: 8,
            supported: 7,
            ..
        }
    ));
    assert!(matches!(
        read("\"T\": 60", "\"T\": 61"),
        FormatError::Checksum { .. }
    ));
    assert!(matches!(
        read("respaced", "marginal"),
        FormatError::Checksum { .. }
    ));
    assert!(matches!(
        read("ddpm-schedules", "other"),
        FormatError::Not { .. }
    ));
    assert!(matches!(
        read("\"unit\"", "\"units\""),
        FormatError::Not { .. }
    ));
    assert!(matches!(
        format(Schedules::from_json("{").err()),
        FormatError::Not { .. }
    ));
    assert!(matches!(
        format(Schedules::from_json("[]").err()),
        FormatError::Not { .. }
    ));
    // Every character of the text, changed.
    for i in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[i] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        if let Ok(back) = Schedules::from_json(&changed) {
            // Only a change of white space or of digits beyond the last bit may pass.
            assert_eq!(back.to_json().expect("numbers"), text, "character {i}");
        }
    }
    // Unchanged, it is signed as it was.
    assert_eq!(signed(&text, |_| ()), text);
}

/// With a good checksum.
#[test]
fn contents_that_contradict_themselves_are_refused() {
    let text = schedules(&[1, 2]).to_json().expect("numbers");
    let with = |change: &dyn Fn(&mut Value)| {
        Schedules::from_json(&signed(&text, change)).expect_err("a contradiction")
    };
    let error = with(&|json| json["budgets"][1]["path"] = json!([0, 5, 6, 60]));
    assert!(error.to_string().contains("budget of 2 steps"), "{error}");
    let error = with(&|json| json["budgets"][1]["log_variance"] = json!([null]));
    assert!(error.to_string().contains("budget of 2 steps"), "{error}");
    let error = with(&|json| json["budgets"][1]["path"] = json!([0, 7, 6]));
    assert!(matches!(error, Error::Core(_)), "{error}");
    let error = with(&|json| json["costs"] = json!([1.0]));
    assert!(
        error
            .to_string()
            .contains("costs: expected 60 values, found 1"),
        "{error}"
    );
    // Words that no version knew.
    for key in ["variance", "decoder", "objective", "start"] {
        let error = with(&|json| json[key] = "other".into());
        assert!(
            error.to_string().contains("\"other\": expected one of"),
            "{key}: {error}"
        );
    }
    let error = with(&|json| json["noise_schedule"] = "custom".into());
    assert!(error.to_string().contains("log_alpha_bar"), "{error}");
    // A version 2 has no sampler, no stability and no distance.
    let sampled = Schedules {
        sampler: Some(Sampler::Ddim),
        ..schedules(&[1, 2])
    };
    let sampled = sampled.to_json().expect("numbers");
    let error = Schedules::from_json(&sampled).expect_err("a contradiction");
    assert!(
        error
            .to_string()
            .contains("in version 4 and, of a corrected network, in version 5"),
        "{error}"
    );
    let error = with(&|json| json["budgets"][0]["distance"] = 0.5.into());
    assert!(
        error
            .to_string()
            .contains("in version 4 and, of a corrected network, in version 5"),
        "{error}"
    );
    let error = with(&|json| json["version"] = 3.into());
    assert!(error.to_string().contains("stability"), "{error}");
}

#[test]
fn kernels_and_means_of_other_conventions_are_refused() {
    let text = std::fs::read_to_string(fixture("schedules-v5.json")).expect("kept");
    let with = |change: &dyn Fn(&mut Value)| {
        let error = Schedules::from_json(&signed(&text, change)).expect_err("a contradiction");
        error.to_string()
    };
    let without_corrections = with(&|json| {
        for step in json["by_timestep"].as_array_mut().expect("a list") {
            let step = step.as_object_mut().expect("an object");
            for key in ["a", "b", "m"] {
                step.remove(key);
            }
        }
    });
    for error in [
        without_corrections,
        with(&|json| json["mean"] = "network".into()),
    ] {
        assert!(error.contains("a correction (a, b, m)"), "{error}");
    }
    let error = with(&|json| json["variance"] = "learned".into());
    assert!(
        error.contains("mean calibrated with variance learned"),
        "{error}"
    );
    for variance in ["analytic", "fixed-small"] {
        let error = with(&|json| json["variance"] = variance.into());
        let expected = format!("one of variance {variance} and decoder gaussian");
        assert!(error.contains(&expected), "{error}");
    }
    let error = with(&|json| json["budgets"][1]["kernels"][0] = "none".into());
    assert!(error.contains("kernel of step 1"), "{error}");
    let error = with(&|json| {
        json["budgets"][1]["kernels"][0] = "scalar".into();
        json["budgets"][1]["log_variance"][0] = json!(-3.0);
    });
    assert!(error.contains("found scalar"), "{error}");
    let plain = schedules(&[1, 2]);
    let text = plain.to_json().expect("numbers");
    let error = signed(&text, |json| {
        json["variance"] = "fixed-small".into();
        json["budgets"][1]["log_variance"][1] = json!(-3.0);
    });
    let error = Schedules::from_json(&error).expect_err("a learned decoder");
    assert!(error.to_string().contains("found learned"), "{error}");
    // Nor is such a file written.
    let mut learned = plain.clone();
    learned.scoring = learned.scoring.with_mean(MeanKind::Calibrated);
    assert!(matches!(learned.to_json(), Err(Error::Unsupported(_))));
    let mut fixed = plain;
    fixed.scoring.variance = VarianceKind::FixedSmall;
    let error = fixed.to_json().expect_err("learned kernels");
    assert!(error.to_string().contains("kernel of step 1"), "{error}");
}

#[test]
fn a_custom_chain_comes_back_bit_for_bit() {
    // Betas so small that 1 - alpha_bar would lose half its digits, then an alpha_bar far below the smallest double.
    let mut betas = vec![1e-9; 5];
    betas.extend([0.01, 0.5, 1.0 - 1e-13]);
    betas.extend([1.0 - 1e-13; 30]);
    for end in [0.5, 1.0] {
        let mut betas = betas.clone();
        betas.push(end);
        let noise = NoiseSchedule::from_betas(&betas).expect("valid");
        assert_eq!(noise.alpha_bar(38), 0.0);
        let scoring = Scoring::new(VarianceKind::FixedSmall)
            .with_decoder(DecoderKind::None)
            .with_objective(Objective::Mse);
        let path = TimePath::new([2, 3, 5, 39], 39).expect("a path");
        let custom = Schedules {
            budgets: vec![chosen(&noise, path, &scoring, 0.25)],
            noise_schedule: noise.clone(),
            scoring,
            clip_denoised: None,
            parameterization: None,
            costs: vec![None; 39],
            provenance: None,
            ..schedules(&[])
        };
        let text = custom.to_json().expect("numbers");
        let json: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(json["noise_schedule"], "custom");
        assert_eq!(json["unit"], "weighted mse");
        let stored = json["log_alpha_bar"].as_array().expect("custom");
        assert_eq!(stored.len(), 39);
        assert_eq!(stored[38].is_null(), end == 1.0);
        let back = Schedules::from_json(&text).expect("readable");
        assert_eq!(back, custom);
        assert_eq!(back.noise_schedule, noise);
    }
}

#[test]
fn one_step_is_marked_as_scored_with_the_marginal_decoder() {
    let schedules = schedules(&[1, 2]);
    assert_eq!(schedules.scoring.decoder, DecoderKind::Respaced);
    let text = schedules.to_json().expect("numbers");
    let json: Value = serde_json::from_str(&text).expect("json");
    assert_eq!(json["decoder"], "respaced");
    assert_eq!(json["budgets"][0]["scored_decoder"], "marginal");
    assert_eq!(json["budgets"][1]["scored_decoder"], "respaced");
    let wrong = signed(&text, |json| {
        json["budgets"][0]["scored_decoder"] = "respaced".into();
    });
    let named = Schedules::from_json(&wrong)
        .expect_err("contradiction")
        .to_string();
    assert!(
        named.contains("scored_decoder") && named.contains("marginal"),
        "{named}"
    );
}

/// A null says that there is no number: per pixel by the network, or no density at all.
#[test]
fn nulls_become_the_kernels_that_they_stood_for() {
    let noise = cosine(60);
    let path = || TimePath::new([5, 20, 60], 60).expect("a path");
    let read_back = |variance, decoder| {
        let scoring = Scoring::new(variance).with_decoder(decoder);
        let made = Schedules {
            budgets: vec![chosen(&noise, path(), &scoring, 3.0)],
            scoring,
            ..schedules(&[])
        };
        let text = made.to_json().expect("numbers");
        let back = Schedules::from_json(&text).expect("readable");
        assert_eq!(back, made, "{variance} {decoder}");
        let json: Value = serde_json::from_str(&text).expect("json");
        let stored = json["budgets"][0]["log_variance"]
            .as_array()
            .expect("a list");
        let nulls: Vec<bool> = stored.iter().map(Value::is_null).collect();
        (nulls, back.budgets[0].schedule.kernels.clone())
    };
    let (nulls, kernels) = read_back(VarianceKind::Learned, DecoderKind::Respaced);
    assert_eq!((nulls, kernels), (vec![true; 3], vec![Kernel::Learned; 3]));
    let (nulls, kernels) = read_back(VarianceKind::Learned, DecoderKind::None);
    let (none, learned) = (Kernel::None, Kernel::Learned);
    assert_eq!(
        (nulls, kernels),
        (
            vec![true; 3],
            vec![none.clone(), learned.clone(), learned.clone()]
        )
    );
    let (nulls, kernels) = read_back(VarianceKind::Learned, DecoderKind::Marginal);
    assert_eq!(nulls, [false, true, true]);
    assert!(kernels[0].log_variance().is_some() && kernels[1..] == vec![learned; 2]);
    let (nulls, kernels) = read_back(VarianceKind::FixedLarge, DecoderKind::None);
    assert_eq!(nulls, [true, false, false]);
    assert!(kernels[0] == none && kernels[2].log_variance().is_some());
    let (nulls, _) = read_back(VarianceKind::FixedSmall, DecoderKind::Respaced);
    assert_eq!(nulls, [false; 3]);
}

#[test]
fn stability_makes_it_version_3() {
    let stability = Stability {
        folds: 4,
        loss: 0.01,
        loss_standard_error: 0.002,
        largest_excess: 0.05,
    };
    let plain = || schedules(&[2, 8]);
    let told = plain()
        .with_stability(vec![stability; 2])
        .expect("one per budget");
    let text = told.to_json().expect("numbers");
    assert!(text.contains("\"version\": 3"));
    let back = Schedules::from_json(&text).expect("readable");
    assert_eq!(back, told);
    assert_eq!(back.budgets[1].stability, Some(stability));
    let older = signed(&text, |json| json["version"] = 2.into());
    let refused = Schedules::from_json(&older).expect_err("a version 2 has none");
    assert!(refused.to_string().contains("stability"), "{refused}");
    let refused = plain()
        .with_stability(vec![stability])
        .expect_err("two budgets");
    assert!(
        refused.to_string().contains("expected 2 values"),
        "{refused}"
    );
}

/// The settings of the network and what is told of the images share one map in a file, and come apart again.
#[test]
fn an_origin_comes_back_with_its_parts_apart() {
    let known = provenance();
    let json = serde_json::to_value(&known).expect("json");
    assert_eq!(
        json["extra"],
        json!({"noise_streams": "test", "num_heads": "4"})
    );
    assert_eq!(json["checkpoint_sha256"], "c".repeat(64));
    let back: Provenance = serde_json::from_value(json).expect("readable");
    assert_eq!(back, known);
    assert_eq!(back.model.settings["num_heads"], "4");
    assert_eq!(back.extra["noise_streams"], "test");

    // What nobody told has a word of its own.
    let mut untold = known.clone();
    (untold.model.noise_schedule, untold.model.parameterization) = (None, None);
    let json = serde_json::to_value(&untold).expect("json");
    assert_eq!(
        (&json["noise_schedule"], &json["parameterization"]),
        (&json!("custom"), &json!("unknown"))
    );
    assert_eq!(
        serde_json::from_value::<Provenance>(json).expect("readable"),
        untold
    );

    assert!(known.differences(&known).is_empty());
    let mut other = known.clone();
    other.seed = 8;
    other.extra.clear();
    other.model.parameterization = Some(Parameterization::V);
    let fields: Vec<String> = known
        .differences(&other)
        .into_iter()
        .map(|d| d.field)
        .collect();
    assert_eq!(fields, ["parameterization", "seed", "extra.noise_streams"]);
    let refused = known
        .check_same(&other)
        .expect_err("another run")
        .to_string();
    assert!(
        refused.contains("parameterization differs (epsilon and v)"),
        "{refused}"
    );
    let mut unknown = known;
    unknown.model.network = ddpm_core::NetworkId::Unknown;
    let refused = unknown
        .check_same(&unknown)
        .expect_err("of any network")
        .to_string();
    assert!(
        refused.contains("expected the hash of its checkpoint or a name"),
        "{refused}"
    );
}

#[test]
fn the_usual_conventions_go_with_the_variance() {
    let optimal = Scoring::new(VarianceKind::Analytic);
    assert_eq!(optimal.decoder, DecoderKind::Optimal);
    let usual = Scoring::new(VarianceKind::Learned);
    assert_eq!(usual.decoder, DecoderKind::Respaced);
    assert_eq!(
        (usual.objective, usual.start),
        (Objective::Elbo, StartRule::Full)
    );
    assert_eq!(usual.decoder_for(1), DecoderKind::Marginal);
    assert_eq!(usual.decoder_for(2), DecoderKind::Respaced);
    let other = usual
        .with_decoder(DecoderKind::None)
        .with_objective(Objective::Mse)
        .with_start(StartRule::Free);
    assert_eq!(
        (other.decoder, other.objective, other.start),
        (DecoderKind::None, Objective::Mse, StartRule::Free)
    );
    assert_eq!(other.variance, VarianceKind::Learned);
}
