//! The file: round trips, merges, its size, and every way a file can be wrong.

use std::sync::LazyLock;

use ddpm_core::{NetworkId, NoiseSchedule, NoiseScheduleName};
use ddpm_files::FormatError;
use ddpm_profile::{Block, ElboProfile, Error, ProfileLayout, Reconstruction};
use ddpm_schedule::Provenance;
use proptest::prelude::*;
use safetensors::{SafeTensors, tensor::TensorView};

use crate::support::{Fraction, Run, Setup, log_snr_timesteps, spread};

fn run(learned: bool) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 12).expect("valid"),
        shape: [1, 2, 3],
        v: learned.then_some(spread as Fraction),
        timesteps: vec![1, 2, 5, 11, 12],
        clip: true,
        images: 11,
        first_image: 0,
        eight_bit: true,
        seed: 77,
    }
    .run()
}

/// Eleven images in blocks of two: six blocks, the last one short.
static PROFILE: LazyLock<ElboProfile> =
    LazyLock::new(|| run(true).profile(ProfileLayout::MIN_NODES, 2));

/// The profile of some of the blocks.
fn part(profile: &ElboProfile, ids: &[u64]) -> ElboProfile {
    let blocks: Vec<Block> = profile
        .blocks()
        .iter()
        .filter(|b| ids.contains(&b.id()))
        .cloned()
        .collect();
    with(profile, profile.provenance().clone(), blocks).expect("valid")
}

fn with(
    profile: &ElboProfile,
    provenance: Provenance,
    blocks: Vec<Block>,
) -> ddpm_profile::Result<ElboProfile> {
    ElboProfile::new(
        provenance,
        profile.schedule().clone(),
        profile.layout().clone(),
        blocks,
    )
}

fn message(result: ddpm_profile::Result<ElboProfile>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn round_trips_are_exact() {
    for learned in [true, false] {
        let profile = run(learned).profile(ProfileLayout::MIN_NODES, 2);
        let bytes = profile.to_bytes();
        let back = ElboProfile::from_bytes(&bytes).expect("readable");
        assert_eq!(back, profile);
        assert_eq!(back.to_bytes(), bytes);
        assert!(profile.is_complete());
    }
    let empty = part(&PROFILE, &[]);
    assert_eq!(
        ElboProfile::from_bytes(&empty.to_bytes()).expect("readable"),
        empty
    );
    assert_eq!(empty.missing_blocks(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(part(&PROFILE, &[1, 3, 4]).missing_blocks(), [0, 2, 5]);
}

#[test]
fn the_container_is_plain_safetensors_with_one_metadata_key() {
    let bytes = PROFILE.to_bytes();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let map = metadata.metadata().as_ref().expect("metadata");
    assert_eq!(map.keys().collect::<Vec<_>>(), ["ddpm"]);
    let json: serde_json::Value = serde_json::from_str(&map["ddpm"]).expect("json");
    assert_eq!(json["format"], "ddpm-elbo-profile");
    assert_eq!(json["version"], 1);
    assert_eq!(json["provenance"]["data_name"], "gaussian");
    assert_eq!(json["checksum"].as_str().map(str::len), Some(64));
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn any_flipped_byte_is_noticed() {
    let bytes = PROFILE.to_bytes();
    // Every byte of the header and of the small tensors behind it, then a sample.
    let positions = (0..bytes.len().min(6000)).chain((6000..bytes.len()).step_by(97));
    for i in positions {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut broken = bytes.clone();
            broken[i] ^= flip;
            assert!(
                ElboProfile::from_bytes(&broken).is_err(),
                "byte {i} ^ {flip:#x}"
            );
        }
    }
}

#[test]
fn any_truncation_or_extension_is_noticed() {
    let bytes = PROFILE.to_bytes();
    for length in (0..bytes.len().min(3000))
        .chain((3000..bytes.len()).step_by(89))
        .chain([bytes.len() - 1])
    {
        let error = ElboProfile::from_bytes(&bytes[..length]).expect_err("cut short");
        assert!(
            matches!(error, Error::Format(FormatError::Not { .. })),
            "{length}: {error}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(ElboProfile::from_bytes(&longer).is_err());
    assert!(message(ElboProfile::from_bytes(b"not a profile")).contains("not an elbo profile"));
}

#[test]
fn a_file_says_its_format_by_its_header_alone() {
    use ddpm_files::container::format_named;
    let bytes = PROFILE.to_bytes();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let named = |bytes| format_named(bytes);
    assert_eq!(
        named(&bytes[..header]).as_deref(),
        Some(ElboProfile::FORMAT)
    );
    assert_eq!(named(&bytes[..header - 1]), None);
    assert_eq!(named(&[]), None);
    assert_eq!(named(&[0xff; 64]), None);
    // Weights, which name no format.
    assert_eq!(named(b"\x02\0\0\0\0\0\0\0{}"), None);
}

/// The same file with another metadata text or without a tensor.
fn rewritten(edit: impl Fn(String) -> String, drop: Option<&str>) -> Vec<u8> {
    let bytes = PROFILE.to_bytes();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let mut map = metadata.metadata().clone().expect("metadata");
    let text = edit(map["ddpm"].clone());
    map.insert("ddpm".into(), text);
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors: Vec<(String, TensorView<'_>)> = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| Some(&name[..]) != drop)
        .collect();
    safetensors::serialize(tensors, Some(map)).expect("small")
}

#[test]
fn newer_versions_bad_checksums_and_missing_tensors_have_their_own_errors() {
    let newer = ElboProfile::from_bytes(&rewritten(
        |t| t.replace("\"version\":1", "\"version\":5"),
        None,
    ))
    .err();
    assert!(
        matches!(
            newer,
            Some(Error::Format(FormatError::NewerVersion {
                supported: 4,
                found: 5,
                ..
            }))
        ),
        "{newer:?}"
    );
    let edited =
        ElboProfile::from_bytes(&rewritten(|t| t.replace("\"seed\":7", "\"seed\":8"), None)).err();
    assert!(
        matches!(edited, Some(Error::Format(FormatError::Checksum { .. }))),
        "{edited:?}"
    );
    let missing = ElboProfile::from_bytes(&rewritten(|t| t, Some("moments"))).err();
    assert!(
        matches!(missing, Some(Error::Format(FormatError::Checksum { .. }))),
        "{missing:?}"
    );
    let unknown = rewritten(|t| t.replace("{\"format\"", "{\"more\":1,\"format\""), None);
    assert!(message(ElboProfile::from_bytes(&unknown)).contains("more"));
    let other = rewritten(|t| t.replace("ddpm-elbo-profile", "something-else"), None);
    assert!(message(ElboProfile::from_bytes(&other)).contains("something-else"));
}

#[test]
fn every_field_that_must_agree_is_named() {
    let provenance = PROFILE.provenance();
    let json = serde_json::to_value(provenance).expect("json");
    let fields: Vec<String> = json.as_object().expect("object").keys().cloned().collect();
    assert_eq!(fields.len(), 19);
    let mut checked = 0;
    for field in fields {
        let mut other = json.clone();
        let value = &mut other[&field];
        *value = match value.clone() {
            // Of a few names only.
            _ if field == "noise_schedule" => "sigmoid".into(),
            _ if field == "parameterization" => "v".into(),
            serde_json::Value::String(s) => (s + "x").into(),
            serde_json::Value::Bool(b) => (!b).into(),
            serde_json::Value::Number(n) => (n.as_u64().expect("integer") + 1).into(),
            serde_json::Value::Array(_) => serde_json::json!([9, 9, 9]),
            serde_json::Value::Object(_) => serde_json::json!({"note": "another"}),
            serde_json::Value::Null => unreachable!(),
        };
        let other: Provenance = serde_json::from_value(other).expect("same shape");
        // Fields that fix the plan of blocks cannot be changed alone in a valid profile.
        let Ok(other) = with(&PROFILE, other, Vec::new()) else {
            continue;
        };
        let error = message(ElboProfile::merge(vec![part(&PROFILE, &[0]), other]));
        assert!(error.contains(&field), "{field}: {error}");
        checked += 1;
    }
    assert!(checked >= 15, "{checked}");
    let mut more = provenance.clone();
    more.extra.insert("labels".into(), "yes".into());
    let other = with(&PROFILE, more, Vec::new()).expect("valid");
    let error = message(ElboProfile::merge(vec![part(&PROFILE, &[0]), other]));
    assert!(
        error.contains("extra.labels") && error.contains("absent"),
        "{error}"
    );
}

/// They may be of any two networks.
#[test]
fn parts_of_an_unknown_network_are_kept_but_not_merged() {
    let unknown = |ids: &[u64]| {
        let part = part(&PROFILE, ids);
        let mut provenance = part.provenance().clone();
        provenance.model.network = NetworkId::Unknown;
        with(&PROFILE, provenance, part.blocks().to_vec()).expect("valid")
    };
    let error = message(ElboProfile::merge(vec![unknown(&[0]), unknown(&[1])]));
    assert!(
        error.contains("the network is unknown: expected the hash of its checkpoint or a name"),
        "{error}"
    );
    let bytes = unknown(&[0]).to_bytes();
    let read = ElboProfile::from_bytes(&bytes).expect("readable");
    assert_eq!(read, unknown(&[0]));
    // A name is enough.
    let named = |ids: &[u64]| {
        let part = part(&PROFILE, ids);
        let mut provenance = part.provenance().clone();
        provenance.model.network = NetworkId::Named("mine".into());
        with(&PROFILE, provenance, part.blocks().to_vec()).expect("valid")
    };
    let merged = ElboProfile::merge(vec![named(&[1]), named(&[0])]).expect("of one run");
    assert_eq!(merged.blocks().len(), 2);
    let error = message(ElboProfile::merge(vec![named(&[1]), unknown(&[0])]));
    assert!(
        error.contains("checkpoint_sha256 differs (name:mine and unknown)"),
        "{error}"
    );
}

#[test]
fn other_layouts_and_schedules_are_named() {
    let merge = |other: ElboProfile| message(ElboProfile::merge(vec![part(&PROFILE, &[0]), other]));
    let new = |schedule: &NoiseSchedule, timesteps: Vec<usize>, learned, nodes| {
        let layout = ProfileLayout::new(schedule, timesteps, learned, nodes).expect("valid");
        ElboProfile::new(
            PROFILE.provenance().clone(),
            schedule.clone(),
            layout,
            Vec::new(),
        )
        .expect("valid")
    };
    let schedule = PROFILE.schedule();
    let same = vec![1, 2, 5, 11, 12];
    assert!(merge(new(schedule, vec![1, 2, 12], true, 8)).contains("timesteps"));
    assert!(merge(new(schedule, same.clone(), false, 8)).contains("learned variance"));
    assert!(merge(new(schedule, same.clone(), true, 9)).contains("chebyshev nodes"));
    let cosine = NoiseSchedule::named(NoiseScheduleName::Sigmoid, 12).expect("valid");
    assert!(merge(new(&cosine, same, true, 8)).contains("log_alpha_bar at t = 1"));
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let twice = ElboProfile::merge(vec![
        part(&PROFILE, &[0, 3]),
        part(&PROFILE, &[1]),
        part(&PROFILE, &[3]),
    ]);
    assert!(matches!(twice, Err(Error::DuplicateBlock { id: 3 })));
    assert!(matches!(ElboProfile::merge(Vec::new()), Err(Error::Empty)));
    let provenance = || PROFILE.provenance().clone();
    let layout = PROFILE.layout();
    let beyond = with(&PROFILE, provenance(), vec![Block::new(layout, 6)]);
    assert!(message(beyond).contains("block 6: expected a number within 0..=5"));
    // Block 5 has one image only; block 2 must have two.
    let empty = with(&PROFILE, provenance(), vec![Block::new(layout, 2)]);
    assert!(message(empty).contains("block 2: expected 2 images, found 0"));
    let mut partial = Block::new(layout, 5);
    partial.add_image(0.3);
    // Begun and not finished: a profile that can be kept, as version 2, and no more.
    let partial = with(&PROFILE, provenance(), vec![partial]).expect("valid");
    assert_eq!(partial.missing_blocks(), [0, 1, 2, 3, 4, 5]);
    let bytes = partial.to_bytes();
    assert_eq!(ElboProfile::from_bytes(&bytes).expect("readable"), partial);
    let merged = ElboProfile::merge(vec![partial]);
    assert!(message(merged).contains("block 5 is not finished (0 of 5 evaluations)"));
    let mut plan = provenance();
    plan.total_blocks = 7;
    assert!(message(with(&PROFILE, plan, Vec::new())).contains("total_blocks: expected 6"));
    let mut steps = provenance();
    steps.model.train_steps = 13;
    assert!(message(with(&PROFILE, steps, Vec::new())).contains("train_steps"));
}

#[test]
fn bad_layouts_and_bad_numbers_are_refused() {
    let schedule = PROFILE.schedule();
    let layout = |timesteps: &[usize], nodes| {
        ProfileLayout::new(schedule, timesteps.to_vec(), true, nodes)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(layout(&[], 8).contains("found no timestep"));
    assert!(layout(&[0, 3], 8).contains("found 0"));
    assert!(layout(&[3, 13], 8).contains("found 13"));
    assert!(layout(&[3, 3], 8).contains("3 followed by 3"));
    assert!(layout(&[3], 2).contains("chebyshev nodes: expected 8..=128, found 2"));
    let layout = PROFILE.layout();
    let x = [0.1; 6];
    let bad = |i: usize, x0: &[f64], xhat0: &[f64], v: Option<&[f64]>| {
        layout
            .measure(
                i,
                &Reconstruction {
                    x0,
                    x_t: None,
                    xhat0,
                    v,
                },
            )
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert_eq!(bad(0, &x, &x, Some(&x)), "");
    assert!(bad(9, &x, &x, Some(&x)).contains("index 9"));
    assert!(bad(0, &x, &x[1..], Some(&x)).contains("xhat0: expected 6 values, found 5"));
    assert!(bad(0, &x, &x, None).contains("v: expected 6 values, found 0"));
    assert!(bad(0, &[], &[], None).contains("x0"));
    let mut nan = x;
    nan[3] = f64::NAN;
    assert!(bad(2, &x, &nan, Some(&x)).contains("xhat0 at t = 5"));
    nan[3] = 50.0;
    assert!(bad(2, &x, &x, Some(&nan)).contains("v at t = 5"));
    let other = ProfileLayout::new(schedule, vec![3], true, 9).expect("valid");
    let mut block = Block::new(&other, 0);
    let point = layout
        .measure(
            0,
            &Reconstruction {
                x0: &x,
                x_t: None,
                xhat0: &x,
                v: Some(&x),
            },
        )
        .expect("valid");
    assert!(block.add(0, &point).is_err());
    assert!(block.add(1, &point).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any order and any grouping of the blocks, through files or not, gives the same bytes.
    #[test]
    fn merges_are_bit_identical(
        order in Just([0u64, 1, 2, 3, 4, 5]).prop_shuffle(),
        cuts in prop::collection::vec(0usize..=6, 1..4),
        nested in any::<bool>(),
        through_files in any::<bool>(),
    ) {
        let mut bounds: Vec<usize> = cuts.into_iter().chain([0, 6]).collect();
        bounds.sort_unstable();
        let mut parts: Vec<ElboProfile> =
            bounds.windows(2).map(|w| part(&PROFILE, &order[w[0]..w[1]])).collect();
        if through_files {
            parts = parts.iter().map(|p| ElboProfile::from_bytes(&p.to_bytes()).expect("readable")).collect();
        }
        if nested && parts.len() > 2 {
            let tail = parts.split_off(1);
            parts.push(ElboProfile::merge(tail).expect("disjoint"));
        }
        let merged = ElboProfile::merge(parts).expect("disjoint");
        prop_assert_eq!(merged.to_bytes(), PROFILE.to_bytes());
    }
}

#[test]
fn a_profile_of_32_blocks_and_64_timesteps_is_below_4_megabytes() {
    for (name, steps) in [
        (NoiseScheduleName::Cosine, 4000),
        (NoiseScheduleName::Linear, 1000),
    ] {
        let schedule = NoiseSchedule::named(name, steps).expect("valid");
        let timesteps = log_snr_timesteps(&schedule, 64);
        let run = Setup {
            schedule,
            shape: [1, 2, 2],
            v: Some(spread),
            timesteps,
            clip: true,
            images: 32,
            first_image: 0,
            eight_bit: true,
            seed: 1,
        }
        .run();
        let bytes = run
            .profile(ProfileLayout::DEFAULT_NODES, 1)
            .to_bytes()
            .len();
        eprintln!("{name} {steps}: {bytes} bytes");
        assert!(bytes < 4_000_000, "{name}: {bytes} bytes");
    }
}
