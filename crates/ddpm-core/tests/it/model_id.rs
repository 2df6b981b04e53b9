//! Which network under which process: the text of a network, and what two models differ in.

use std::collections::BTreeMap;

use ddpm_core::{
    Denoiser, GaussianDenoiser, ModelId, NetworkId, NoiseSchedule, NoiseScheduleName,
    Parameterization,
};
use ndarray::Array1;

#[test]
fn a_network_comes_back_from_its_text() {
    let hash = "ab".repeat(32);
    let cases = [
        (NetworkId::Sha256(hash.clone()), &hash[..], true),
        (
            NetworkId::Named("mine, of May".into()),
            "name:mine, of May",
            true,
        ),
        // Names that look like something else stay names.
        (NetworkId::Named("unknown".into()), "name:unknown", true),
        (NetworkId::Named("name:x".into()), "name:name:x", true),
        (NetworkId::Unknown, "unknown", false),
        // What files of callables had before networks had names.
        (NetworkId::Sha256(String::new()), "", false),
        (NetworkId::Named(String::new()), "name:", false),
    ];
    for (network, text, known) in cases {
        assert_eq!(network.to_string(), text);
        assert_eq!(NetworkId::of_text(text), network);
        assert_eq!(network.is_known(), known, "{text:?}");
    }
    assert_eq!(NetworkId::default(), NetworkId::Unknown);
}

fn id() -> ModelId {
    ModelId {
        network: NetworkId::Named("a".into()),
        noise_schedule: Some(NoiseScheduleName::Cosine),
        train_steps: 40,
        parameterization: Some(Parameterization::Epsilon),
        rescale_timesteps: false,
        clip_denoised: true,
        precision: "f32".into(),
        shape: vec![3, 4, 4],
        settings: BTreeMap::from([("heads".to_owned(), "4".to_owned())]),
    }
}

#[test]
fn every_field_that_differs_is_named_with_both_values() {
    type Change = fn(&mut ModelId);
    let changes: [(Change, &str, &str, &str); 10] = [
        (
            |m| m.network = NetworkId::Unknown,
            "checkpoint_sha256",
            "name:a",
            "unknown",
        ),
        (
            |m| m.noise_schedule = None,
            "noise_schedule",
            "cosine",
            "custom",
        ),
        (|m| m.train_steps = 41, "train_steps", "40", "41"),
        (
            |m| m.parameterization = None,
            "parameterization",
            "epsilon",
            "unknown",
        ),
        (
            |m| m.rescale_timesteps = true,
            "rescale_timesteps",
            "false",
            "true",
        ),
        (
            |m| m.clip_denoised = false,
            "clip_denoised",
            "true",
            "false",
        ),
        (|m| m.precision = "bf16".into(), "precision", "f32", "bf16"),
        (|m| m.shape = vec![48], "image_shape", "[3, 4, 4]", "[48]"),
        (|m| m.settings.clear(), "extra.heads", "4", "absent"),
        (
            |m| drop(m.settings.insert("norm".into(), "group".into())),
            "extra.norm",
            "absent",
            "group",
        ),
    ];
    assert_eq!(id().differences(&id()), []);
    let mut all = id();
    for (change, field, first, second) in changes {
        let mut other = id();
        change(&mut other);
        let found = id().differences(&other);
        assert_eq!(found.len(), 1, "{field}");
        assert_eq!(
            found[0].to_string(),
            format!("{field} ({first} and {second})")
        );
        let back = other.differences(&id());
        assert_eq!(
            back[0].to_string(),
            format!("{field} ({second} and {first})")
        );
        change(&mut all);
    }
    let found = id().differences(&all);
    for (_, field, ..) in changes {
        assert!(found.iter().any(|d| d.field == field), "{field}");
    }
    assert_eq!(found.len(), changes.len());
}

#[test]
fn a_closed_form_model_is_known_by_all_that_it_is_made_of() {
    let cosine = NoiseSchedule::named(NoiseScheduleName::Cosine, 20).unwrap();
    let linear = NoiseSchedule::named(NoiseScheduleName::Linear, 20).unwrap();
    let make = |noise: &NoiseSchedule, mu: f64, variance: f64, parameterization| {
        let array = |x| Array1::from_elem(6, x);
        GaussianDenoiser::new(noise.clone(), array(mu), array(variance), parameterization).unwrap()
    };
    let epsilon = Parameterization::Epsilon;
    let usual = || make(&cosine, 0.1, 0.2, epsilon);
    let with_v = |v| usual().with_v(Array1::from_elem(6, v)).unwrap();
    let array = |x| ndarray::Array2::from_elem((2, 3), x);
    let of_pairs = GaussianDenoiser::new(cosine.clone(), array(0.1), array(0.2), epsilon);
    let models = [
        usual(),
        make(&linear, 0.1, 0.2, epsilon),
        make(&cosine, 0.2, 0.1, epsilon),
        make(&cosine, 0.1, 0.2, Parameterization::V),
        make(&cosine, 0.1, 0.2f64.next_up(), epsilon),
        with_v(0.5),
        with_v(0.25),
        of_pairs.unwrap(),
    ];
    let ids: Vec<NetworkId> = models.iter().map(Denoiser::network_id).collect();
    for (i, id) in ids.iter().enumerate() {
        assert!(id.is_known());
        assert!(!ids[..i].contains(id), "{i}: {id}");
    }
    assert_eq!(usual().network_id(), ids[0]);
    let text = ids[0].to_string();
    let digits = text.strip_prefix("name:gaussian-").expect("its name");
    assert!(
        digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        "{text}"
    );

    let id = ModelId::of(&usual(), true);
    assert_eq!(id.network, ids[0]);
    assert_eq!(
        (id.noise_schedule_text(), id.train_steps),
        ("cosine".into(), 20)
    );
    assert_eq!(id.parameterization_text(), "epsilon");
    assert_eq!((&id.precision[..], id.clip_denoised), ("f64", true));
    assert_eq!((id.shape, id.rescale_timesteps), (vec![6], false));
}
