//! Choosing schedules.

use ddpm_core::{
    DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, StartRule, TimePath, VarianceKind,
};
use ddpm_profile::{CostModel, Curves, ElboProfile, Error, ProfileLayout, choose};
use ddpm_schedule::{Budgets, Chosen, Kernel, Schedule, Schedules, Scoring};

use crate::support::{Setup, cost_model, spread};

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
    provenance.model.noise_schedule = Some(NoiseScheduleName::Cosine);
    profile = ElboProfile::new(
        provenance,
        profile.schedule().clone(),
        profile.layout().clone(),
        profile.blocks().to_vec(),
    )
    .expect("valid");
    profile
}

fn schedules(budgets: Budgets, start: StartRule) -> Schedules {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let scoring = Scoring::new(VarianceKind::Learned).with_start(start);
    let frozen = curves.freeze(&scoring).expect("learned");
    let model = CostModel::new(&curves, frozen).expect("resolved");
    choose(&model, &budgets, Some(profile.provenance())).expect("possible")
}

#[test]
fn what_was_chosen_comes_back_from_its_file() {
    let schedules = schedules(Budgets::Only(vec![1, 2, 8]), StartRule::Full);
    let text = schedules.to_json().expect("numbers");
    assert_eq!(Schedules::from_json(&text).expect("readable"), schedules);
    assert_eq!(schedules.costs.len(), 60);
    let scored: Vec<_> = schedules
        .budgets
        .iter()
        .map(|b| b.schedule.decoder)
        .collect();
    // A path of one step has no second node.
    let respaced = DecoderKind::Respaced;
    assert_eq!(scored, [DecoderKind::Marginal, respaced, respaced]);
    let budget = schedules.budget(8).expect("asked for");
    assert_eq!((budget.steps(), budget.nodes().len()), (8, 9));
    assert_eq!(budget.schedule.kernels, vec![Kernel::Learned; 8]);
    assert_eq!(Some(budget.cost), schedules.costs[7]);
    assert!(budget.prior_bpd.is_some_and(|p| p >= 0.0));
    // The profile says that it is cosine; the numbers do not.
    let cosine = NoiseSchedule::named(NoiseScheduleName::Cosine, 60).expect("valid");
    assert_eq!(schedules.noise_schedule, cosine);
    assert_eq!(
        schedules.noise_schedule.name(),
        Some(NoiseScheduleName::Cosine)
    );
    assert_eq!(schedules.clip_denoised, Some(true));
}

/// Two routes to the kernels of a path: from the noise schedule alone, and as a cost model prices it.
#[test]
fn kernels_that_need_no_measurement_are_those_of_the_cost_model() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let noise = profile.schedule();
    for variance in [
        VarianceKind::FixedSmall,
        VarianceKind::FixedLarge,
        VarianceKind::Learned,
    ] {
        for decoder in [
            DecoderKind::Respaced,
            DecoderKind::Marginal,
            DecoderKind::Gaussian,
            DecoderKind::None,
        ] {
            let model = cost_model(&curves, variance, decoder, Objective::Elbo).expect("valid");
            for nodes in [&[60][..], &[1, 60], &[4, 11, 60], &[7, 8, 9, 59]] {
                let path = TimePath::new(nodes.to_vec(), 60).expect("a path");
                let scoring = Scoring::new(variance).with_decoder(decoder);
                let direct = Schedule::of_path(noise, path.clone(), &scoring).expect("fixed");
                let priced = model.schedule_of(path);
                assert_eq!(direct.path, priced.path);
                assert_eq!(
                    (direct.decoder, direct.sampler),
                    (priced.decoder, priced.sampler)
                );
                assert_eq!(direct.decoder, decoder.for_steps(nodes.len()));
                // With one step the bounds of the learned decoder are one number, which either kernel says.
                let learned = (variance, decoder) == (VarianceKind::Learned, DecoderKind::Respaced);
                if learned && nodes.len() == 1 {
                    assert_eq!(direct.kernels, [Kernel::Learned]);
                    let marginal = Some(noise.log_one_minus_alpha_bar(nodes[0]));
                    assert_eq!(priced.kernels[0].log_variance(), marginal);
                    continue;
                }
                for (direct, priced) in direct.kernels.iter().zip(&priced.kernels) {
                    match (direct.log_variance(), priced.log_variance()) {
                        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{a} {b}"),
                        _ => assert_eq!(direct, priced, "{variance} {decoder} {nodes:?}"),
                    }
                }
            }
        }
    }
    // What has to be measured is not made up.
    let path = || TimePath::new([4, 60], 60).expect("a path");
    let analytic = Schedule::of_path(noise, path(), &Scoring::new(VarianceKind::Analytic));
    assert!(analytic.is_err_and(|e| e.to_string().contains("measured errors")));
    let optimal = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Optimal);
    let optimal = Schedule::of_path(noise, path(), &optimal);
    assert!(optimal.is_err_and(|e| e.to_string().contains("measured errors")));
}

#[test]
fn all_budgets_are_reported_and_free_is_never_above_full() {
    let full = schedules(Budgets::All, StartRule::Full);
    let free = schedules(Budgets::All, StartRule::Free);
    assert_eq!(full.budgets.len(), 60);
    assert_eq!(free.budgets.len(), 60);
    for (k, (a, b)) in full.budgets.iter().zip(&free.budgets).enumerate() {
        assert_eq!((a.steps(), b.steps()), (k + 1, k + 1));
        assert_eq!(a.nodes().last(), Some(&60));
        let total = |budget: &Chosen| budget.cost + budget.prior_bpd.expect("known");
        assert!(total(b) <= total(a) + 1e-12, "{}", k + 1);
        assert_eq!(full.costs[k], Some(a.cost));
    }
    // From the second step on (the first has a decoder of its own) more steps never cost more here.
    assert!(full.costs[1..].windows(2).take(20).all(|w| w[1] <= w[0]));
}

/// Without a decoder term the step onto the data is free: were its node free too, the best path would do nothing.
#[test]
fn without_a_decoder_every_path_ends_its_noise_at_one() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let none = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::None);
    let model = CostModel::new(&curves, none.into()).expect("valid");
    let provenance = Some(profile.provenance());
    let chosen = choose(&model, &Budgets::Only(vec![1, 2, 3, 4]), provenance).expect("possible");
    assert_eq!(chosen.budgets[0].nodes(), [0, 60]);
    assert_eq!(chosen.budgets[1].nodes(), [0, 1, 60]);
    let cost = |nodes: Vec<usize>| model.path_cost(&TimePath::new(nodes, 60).expect("valid"));
    let three = (2..60).map(|t| cost(vec![0, 1, t, 60]));
    let four = (2..60).flat_map(|t| (t + 1..60).map(move |u| vec![0, 1, t, u, 60]));
    let best = [
        three.fold(f64::INFINITY, f64::min),
        four.map(cost).fold(f64::INFINITY, f64::min),
    ];
    for (budget, best) in chosen.budgets[2..].iter().zip(best) {
        assert_eq!(budget.nodes()[1], 1);
        let found = cost(budget.nodes().to_vec());
        assert!((found - best).abs() <= 1e-12 * best, "{found} {best}");
    }
    // From wherever they start.
    let free = CostModel::new(&curves, none.with_start(StartRule::Free).into()).expect("valid");
    let chosen = choose(&free, &Budgets::Only(vec![4]), provenance).expect("possible");
    assert_eq!(chosen.budgets[0].nodes()[1], 1);
}

#[test]
fn impossible_requests_are_named() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let provenance = profile.provenance();
    let usual = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::None);
    let choose_under = |curves: &Curves, scoring: Scoring, budgets: &[usize], provenance| {
        let model = CostModel::new(curves, scoring.into()).expect("valid");
        choose(&model, &Budgets::Only(budgets.to_vec()), provenance)
    };
    for k in [0, 61] {
        let error = choose_under(&curves, usual, &[4, k], Some(provenance)).err();
        assert!(
            matches!(error, Some(Error::Schedule(ddpm_schedule::Error::Steps { max: 60, found })) if found == k),
            "{error:?}"
        );
    }
    let free = usual.with_start(StartRule::Free);
    let mse = free.with_objective(Objective::Mse);
    let mse = choose_under(&curves, mse, &[4], Some(provenance)).err();
    assert!(mse.is_some_and(|e| e.to_string().contains("start full")));
    let weighted = usual.with_objective(Objective::Mse);
    let weighted = choose_under(&curves, weighted, &[4], Some(provenance)).expect("possible");
    assert_eq!(weighted.scoring.objective.unit(), "weighted mse");
    let plain = Curves::from_mse(curves.schedule(), &curves.mse()[1..]).expect("valid");
    let unknown = choose_under(&plain, free, &[4], None).err();
    assert!(unknown.is_some_and(|e| e.to_string().contains("mean square")));
    // A wrong name of the noise schedule is refused.
    let mut wrong = provenance.clone();
    wrong.model.noise_schedule = Some(NoiseScheduleName::Linear);
    let error = choose_under(&plain, usual, &[4], Some(&wrong)).err();
    assert!(error.is_some_and(|e| e.to_string().contains("another alpha_bar")));
    // Trajectories have objectives of their own.
    let quality = CostModel::new(&curves, usual.with_objective(Objective::Quality).into());
    assert!(quality.is_err_and(|e| e.to_string().contains("expected elbo or mse")));
}

#[test]
fn fixed_variances_are_stored_for_every_step() {
    let profile = profile();
    let curves = Curves::from_profile(&profile).expect("blocks");
    let (variance, decoder) = (VarianceKind::Analytic, DecoderKind::Marginal);
    let model = cost_model(&curves, variance, decoder, Objective::Elbo).expect("valid");
    let budgets = Budgets::Only(vec![5]);
    let schedules = choose(&model, &budgets, Some(profile.provenance())).expect("possible");
    let kernels = &schedules.budget(5).expect("asked for").schedule.kernels;
    assert_eq!(kernels.len(), 5);
    assert!(kernels.iter().all(|kernel| kernel.log_variance().is_some()));
    assert!(schedules.budget(6).is_none());
    let missing = schedules
        .schedule(6)
        .expect_err("not asked for")
        .to_string();
    assert!(
        missing.contains("no schedule of 6 steps; expected one of 5"),
        "{missing}"
    );
}
