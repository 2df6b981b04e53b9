//! Choosing schedules, and their file.

use ddpm_core::{NoiseSchedule, NoiseScheduleName};
use ddpm_profile::{
    Budgets, CostModel, Curves, Decoder, ElboProfile, Error, Objective, Origin, ProfileLayout,
    Schedules, StartRule, StepVariances, choose,
};

use crate::support::{Setup, learned_respaced, spread};

fn profile() -> ElboProfile {
    let mut profile = Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 60).expect("valid"),
        shape: [1, 4, 4],
        v: Some(spread),
        timesteps: (1..=60).collect(),
        clip: true,
        images: 8,
        first_image: 0,
        eight_bit: true,
        seed: 3,
    }
    .run()
    .profile(ProfileLayout::DEFAULT_NODES, 4);
    let mut provenance = profile.provenance().clone();
    provenance.noise_schedule = "cosine".into();
    profile = ElboProfile::new(
        provenance,
        profile.schedule().clone(),
        profile.layout().clone(),
        profile.blocks().to_vec(),
    )
    .expect("valid");
    profile
}

fn schedules(budgets: Budgets<'_>, start: StartRule) -> Schedules {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let model = learned_respaced(&curves);
    choose(&model, budgets, start, &Origin::from(profile.provenance())).expect("possible")
}

#[test]
fn the_file_round_trips_and_has_the_stated_shape() {
    let schedules = schedules(Budgets::Only(&[2, 8]), StartRule::Full);
    let text = schedules.to_json().expect("numbers");
    assert_eq!(Schedules::from_json(&text).expect("readable"), schedules);
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
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
    assert_eq!(budget["log_variance"][3], serde_json::Value::Null);
    assert_eq!(budget["cost"], json["costs"][7]);
    assert!(budget["prior_bpd"].as_f64().is_some_and(|p| p >= 0.0));
    // White space is free, contents are not.
    let compact = serde_json::to_string(&json).expect("json");
    assert_eq!(Schedules::from_json(&compact).expect("readable"), schedules);
    assert_eq!(
        schedules.schedule().expect("cosine"),
        NoiseSchedule::named(NoiseScheduleName::Cosine, 60).expect("valid")
    );
}

#[test]
fn damaged_and_newer_files_are_refused() {
    let text = schedules(Budgets::Only(&[2, 3]), StartRule::Full)
        .to_json()
        .expect("numbers");
    let read = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Schedules::from_json(&text.replacen(from, to, 1)).err()
    };
    assert!(matches!(
        read("\"version\": 2", "\"version\": 5"),
        Some(Error::NewerVersion { found: 5, .. })
    ));
    assert!(matches!(
        read("\"T\": 60", "\"T\": 61"),
        Some(Error::Checksum { .. })
    ));
    assert!(matches!(
        read("respaced", "marginal"),
        Some(Error::Checksum { .. })
    ));
    assert!(matches!(
        read("ddpm-schedules", "other"),
        Some(Error::NotSchedules(_))
    ));
    assert!(matches!(
        read("\"unit\"", "\"units\""),
        Some(Error::NotSchedules(_))
    ));
    assert!(matches!(
        Schedules::from_json("{"),
        Err(Error::NotSchedules(_))
    ));
    assert!(matches!(
        Schedules::from_json("[]"),
        Err(Error::NotSchedules(_))
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
    // Contents that contradict themselves, with a good checksum.
    let mut wrong = schedules(Budgets::Only(&[2, 3]), StartRule::Full);
    wrong.budgets[0].path = vec![0, 5, 6, 60];
    let error = Schedules::from_json(&wrong.to_json().expect("numbers"))
        .err()
        .map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("budget of 2 steps")));
    wrong.budgets[0].path = vec![0, 7, 6];
    assert!(matches!(
        Schedules::from_json(&wrong.to_json().expect("numbers")),
        Err(Error::Core(_))
    ));
}

#[test]
fn all_budgets_are_reported_and_free_is_never_above_full() {
    let full = schedules(Budgets::All, StartRule::Full);
    let free = schedules(Budgets::All, StartRule::Free);
    assert_eq!(full.budgets.len(), 60);
    assert_eq!(free.budgets.len(), 60);
    for (k, (a, b)) in full.budgets.iter().zip(&free.budgets).enumerate() {
        assert_eq!((a.steps, b.steps), (k + 1, k + 1));
        assert_eq!(a.path.last(), Some(&60));
        let total = |budget: &ddpm_profile::Budget| budget.cost + budget.prior_bpd.expect("known");
        assert!(total(b) <= total(a) + 1e-12, "{}", k + 1);
        assert_eq!(full.costs[k], Some(a.cost));
    }
    // From the second step on (the first has a decoder of its own) more steps never cost more here.
    assert!(full.costs[1..].windows(2).take(20).all(|w| w[1] <= w[0]));
}

#[test]
fn impossible_requests_are_named() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let origin = Origin::from(profile.provenance());
    let model = |objective| {
        CostModel::new(&curves, StepVariances::FixedSmall, Decoder::None, objective).expect("valid")
    };
    let elbo = model(Objective::Elbo);
    for k in [0, 61] {
        let error = choose(&elbo, Budgets::Only(&[4, k]), StartRule::Full, &origin).err();
        assert!(
            matches!(error, Some(Error::Steps { max: 60, found }) if found == k),
            "{error:?}"
        );
    }
    let mse = choose(
        &model(Objective::Mse),
        Budgets::Only(&[4]),
        StartRule::Free,
        &origin,
    )
    .err();
    assert!(mse.is_some_and(|e| e.to_string().contains("start full")));
    let weighted = choose(
        &model(Objective::Mse),
        Budgets::Only(&[4]),
        StartRule::Full,
        &origin,
    )
    .expect("possible");
    assert_eq!(weighted.unit, "weighted mse");
    let plain = Curves::from_mse(curves.schedule(), &curves.mse()[1..]).expect("valid");
    let plain = CostModel::new(
        &plain,
        StepVariances::FixedSmall,
        Decoder::None,
        Objective::Elbo,
    )
    .expect("valid");
    let unknown = choose(
        &plain,
        Budgets::Only(&[4]),
        StartRule::Free,
        &Origin::default(),
    )
    .err();
    assert!(unknown.is_some_and(|e| e.to_string().contains("mean square")));
    // A wrong name of the noise schedule is refused.
    let wrong = Origin {
        noise_schedule: Some(NoiseScheduleName::Linear),
        ..Origin::default()
    };
    let error = choose(&plain, Budgets::Only(&[4]), StartRule::Full, &wrong).err();
    assert!(error.is_some_and(|e| e.to_string().contains("another alpha_bar")));
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
        let schedule = NoiseSchedule::from_betas(&betas).expect("valid");
        assert_eq!(schedule.alpha_bar(38), 0.0);
        let mse: Vec<f64> = (1..=39).map(|t| schedule.one_minus_alpha_bar(t)).collect();
        let curves = Curves::from_mse(&schedule, &mse).expect("valid");
        let model = CostModel::new(
            &curves,
            StepVariances::FixedSmall,
            Decoder::None,
            Objective::Mse,
        )
        .expect("valid");
        let custom = choose(
            &model,
            Budgets::Only(&[4]),
            StartRule::Full,
            &Origin::default(),
        )
        .expect("possible");
        assert_eq!(custom.noise_schedule, "custom");
        let stored = custom.log_alpha_bar.as_ref().expect("custom");
        assert_eq!(stored.len(), 39);
        assert_eq!(stored[38].is_none(), end == 1.0);
        let back = Schedules::from_json(&custom.to_json().expect("numbers")).expect("readable");
        assert_eq!(back, custom);
        assert_eq!(back.schedule().expect("stored"), schedule);
    }
}

#[test]
fn one_step_is_marked_as_scored_with_the_marginal_decoder() {
    let schedules = schedules(Budgets::Only(&[1, 2]), StartRule::Full);
    assert_eq!(schedules.decoder, "respaced");
    let scored: Vec<&str> = schedules
        .budgets
        .iter()
        .map(|b| b.scored_decoder.as_str())
        .collect();
    assert_eq!(scored, ["marginal", "respaced"]);
    let mut wrong = schedules;
    wrong.budgets[0].scored_decoder = "respaced".into();
    let error =
        Schedules::from_json(&wrong.to_json().expect("numbers")).expect_err("contradiction");
    let named = error.to_string();
    assert!(
        named.contains("scored_decoder") && named.contains("marginal"),
        "{named}"
    );
}

#[test]
fn fixed_variances_are_stored_for_every_step() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let analytic = StepVariances::Analytic {
        mse: curves.mse().into(),
    };
    let model =
        CostModel::new(&curves, analytic, Decoder::Marginal, Objective::Elbo).expect("valid");
    let schedules = choose(
        &model,
        Budgets::Only(&[5]),
        StartRule::Full,
        &Origin::from(profile.provenance()),
    )
    .expect("possible");
    let budget = schedules.budget(5).expect("asked for");
    assert_eq!(budget.log_variance.len(), 5);
    assert!(budget.log_variance.iter().all(Option::is_some));
    assert!(schedules.budget(6).is_none());
}
