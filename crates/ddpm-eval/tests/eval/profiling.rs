//! Profiling: the bytes of a profile depend on the plan alone, and a run can be stopped, resumed and shared out.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ddpm_core::{
    DecoderKind, Denoiser, DenoiserError, GaussianDenoiser, NetworkId, NoiseSchedule,
    Parameterization, Prediction, TimePath, VarianceKind,
};
use ddpm_data::{ImageSet, Split, selection};
use ddpm_eval::{
    BitsPerDimPlan, Error, Noise, ProfilePlan, Progress, Silent, bits_per_dim, profile,
    timesteps_for,
};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::{Schedule, Scoring};
use ndarray::{Array4, ArrayViewD};

use crate::support::models::{self, Conditional, Fault, Faulty};
use crate::support::watchers::Counter;

/// Without saving.
fn run(
    denoiser: &dyn Denoiser,
    data: &ImageSet,
    plan: &ProfilePlan,
    progress: &dyn Progress,
) -> Result<ElboProfile, Error> {
    profile(
        denoiser,
        data,
        plan,
        Split::Train,
        None,
        progress,
        &mut |_| Ok(()),
    )
}

/// A learned model, byte images and a plan of 7 blocks (the last one smaller) over 20 timesteps.
fn small() -> (GaussianDenoiser, ImageSet, ProfilePlan) {
    let schedule = models::cosine(40);
    let model = models::learned(&schedule, Parameterization::Epsilon);
    let data = models::byte_images(&model, 25);
    let mut plan = ProfilePlan::new(timesteps_for(&schedule, 20), selection(11, 25, 20), 7, 11);
    plan.images_per_block = 3;
    (model, data, plan)
}

#[test]
fn bytes_do_not_depend_on_batch_threads_shards_or_interruption() {
    let (model, data, plan) = small();
    let whole = run(&model, &data, &plan, &Silent).unwrap();
    assert!(whole.is_complete());
    assert_eq!(
        whole
            .blocks()
            .iter()
            .map(|b| b.images())
            .collect::<Vec<_>>(),
        [3, 3, 3, 3, 3, 3, 2]
    );
    let bytes = whole.to_bytes();

    for batch in [1, 3, 8] {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let plan = ProfilePlan {
                batch,
                ..plan.clone()
            };
            let again = pool.install(|| run(&model, &data, &plan, &Silent).unwrap());
            assert!(
                again.to_bytes() == bytes,
                "batch {batch}, {threads} threads"
            );
        }
    }

    for n in [1, 2, 3, 7] {
        let shard = |i: usize| {
            let plan = ProfilePlan {
                shard: Some((i, n)),
                ..plan.clone()
            };
            run(&model, &data, &plan, &Silent).unwrap()
        };
        let shards: Vec<ElboProfile> = (0..n).map(shard).collect();
        assert_eq!(shards.iter().map(ElboProfile::images).sum::<u64>(), 20);
        let orders: &[&[usize]] = match n {
            1 => &[&[0]],
            2 => &[&[0, 1], &[1, 0]],
            7 => &[&[0, 1, 2, 3, 4, 5, 6], &[4, 6, 0, 2, 5, 1, 3]],
            _ => &[
                &[0, 1, 2],
                &[0, 2, 1],
                &[1, 0, 2],
                &[1, 2, 0],
                &[2, 0, 1],
                &[2, 1, 0],
            ],
        };
        for order in orders {
            let parts = order.iter().map(|&i| shards[i].clone()).collect();
            let merged = ElboProfile::merge(parts).unwrap();
            assert!(
                merged.to_bytes() == bytes,
                "{n} shards in the order {order:?}"
            );
        }
    }

    // What was saved after each block, resumed.
    // Saved after every batch, most of them in the middle of a block.
    let plan = ProfilePlan {
        save_every: Duration::ZERO,
        batch: 7,
        ..plan
    };
    let saved = RefCell::new(Vec::new());
    let mut save = |p: &ElboProfile| {
        saved.borrow_mut().push(p.to_bytes());
        Ok(())
    };
    profile(&model, &data, &plan, Split::Train, None, &Silent, &mut save).unwrap();
    let saved = saved.into_inner();
    assert_eq!(saved.len(), 6 * 60usize.div_ceil(7) + 40usize.div_ceil(7));
    assert!(*saved.last().unwrap() == bytes);
    for partial in &saved {
        let partial = ElboProfile::from_bytes(partial).unwrap();
        let done: u64 = partial.blocks().iter().flat_map(|b| b.counts()).sum();
        let counter = Counter::default();
        let resumed = profile(
            &model,
            &data,
            &plan,
            Split::Train,
            Some(partial),
            &counter,
            &mut |_| Ok(()),
        )
        .unwrap();
        assert!(
            resumed.to_bytes() == bytes,
            "resumed after {done} evaluations"
        );
        // Only what was missing is done.
        let missing = 20 * 20 - done;
        assert_eq!(counter.seen(), (missing, missing, true));
    }
}

/// What a run has saved that is stopped in its fourth block.
fn interrupted(model: &GaussianDenoiser, data: &ImageSet, plan: &ProfilePlan) -> ElboProfile {
    let mut saved = None;
    let stopped = profile(
        model,
        data,
        plan,
        Split::Train,
        None,
        &Counter::stopping_after(3 * 60 + 7),
        &mut |p: &ElboProfile| {
            saved = Some(p.clone());
            Ok(())
        },
    );
    assert!(matches!(stopped, Err(Error::Interrupted)));
    saved.unwrap()
}

#[test]
fn nothing_is_computed_from_unfinished_blocks() {
    let (model, data, mut plan) = small();
    plan.batch = 4;
    let partial = interrupted(&model, &data, &plan);
    assert!(!partial.is_complete());
    assert_eq!(partial.missing_blocks(), [3, 4, 5, 6]);
    let refused = Curves::from_profile(&partial).unwrap_err().to_string();
    assert!(
        refused.contains("block 3 is not finished (8 of 60 evaluations)"),
        "{refused}"
    );
    let merged = ElboProfile::merge(vec![partial]).unwrap_err().to_string();
    assert_eq!(merged, refused);
}

/// Every save holds all blocks so far; too many of them would cost more than the blocks.
#[test]
fn saves_are_rare_and_none_is_forgotten() {
    let (model, data, plan) = small();
    let saves = |plan: &ProfilePlan, denoiser: &dyn Denoiser, resume: Option<ElboProfile>| {
        let mut saved = Vec::new();
        let ended = profile(
            denoiser,
            &data,
            plan,
            Split::Train,
            resume,
            &Silent,
            &mut |p: &ElboProfile| {
                saved.push(p.blocks().len());
                Ok(())
            },
        );
        (saved, ended)
    };
    let with = |save_every| ProfilePlan {
        save_every,
        ..plan.clone()
    };
    let (saved, whole) = saves(&with(Duration::MAX), &model, None);
    assert_eq!(saved, [7], "at the end alone");
    let (saved, _) = saves(&with(Duration::ZERO), &model, None);
    assert!(saved.len() > 7 && saved.is_sorted() && saved.ends_with(&[7]));
    let (saved, again) = saves(&with(Duration::ZERO), &model, Some(whole.unwrap()));
    assert_eq!(saved, [0; 0], "nothing new, nothing to save");
    assert!(again.unwrap().is_complete());

    // A network that fails after some blocks does not take them with it.
    let failing = FailsAfter {
        model: model.clone(),
        images: AtomicUsize::new(3 * 60 + 7),
    };
    let (saved, failed) = saves(&with(Duration::MAX), &failing, None);
    assert_eq!(saved, [4], "with the one in work");
    assert!(matches!(failed, Err(Error::Denoiser(_))));
}

/// A model that fails once it has predicted so many images.
struct FailsAfter {
    model: GaussianDenoiser,
    images: AtomicUsize,
}

impl Denoiser for FailsAfter {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.model.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.model.shape()
    }
    fn parameterization(&self) -> Parameterization {
        self.model.parameterization()
    }
    fn learns_variance(&self) -> bool {
        true
    }
    fn network_id(&self) -> NetworkId {
        self.model.network_id()
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.images
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(t.len())
            })
            .map_err(|_| DenoiserError::new("out of memory"))?;
        self.model.predict(x, t, labels)
    }
}

#[test]
fn an_interrupted_run_has_saved_what_it_measured() {
    let (model, data, mut plan) = small();
    plan.batch = 4;
    // Not a moment at which it would have saved anyway.
    plan.save_every = Duration::MAX;
    let bytes = run(&model, &data, &plan, &Silent).unwrap().to_bytes();
    let partial = interrupted(&model, &data, &plan);
    assert_eq!(partial.blocks().len(), 4);
    let resumed = profile(
        &model,
        &data,
        &plan,
        Split::Train,
        Some(partial),
        &Silent,
        &mut |_| Ok(()),
    )
    .unwrap();
    assert!(resumed.to_bytes() == bytes);
}

#[test]
fn a_failed_save_ends_the_run() {
    let (model, data, plan) = small();
    let mut save = |_: &ElboProfile| {
        Err(Error::Data(ddpm_data::Error::Write {
            path: "p.safetensors".into(),
            source: std::io::Error::from(std::io::ErrorKind::StorageFull),
        }))
    };
    let failed = profile(&model, &data, &plan, Split::Train, None, &Silent, &mut save);
    assert!(matches!(
        failed,
        Err(Error::Data(ddpm_data::Error::Write { .. }))
    ));
}

#[test]
fn says_where_its_numbers_come_from() {
    let (model, data, plan) = small();
    let data = data.with_stand_in(true).with_name("made up");
    let provenance = run(&model, &data, &plan, &Silent)
        .unwrap()
        .provenance()
        .clone();
    assert_eq!(provenance.data_sha256, data.sha256().unwrap());
    assert_eq!(provenance.data_name, "made up");
    assert!(provenance.stand_in && provenance.model.clip_denoised);
    assert_eq!((provenance.seed, provenance.model.train_steps), (11, 40));
    assert_eq!(
        (
            provenance.total_images,
            provenance.images_per_block,
            provenance.total_blocks
        ),
        (20, 3, 7)
    );
    let said = &provenance.model;
    assert_eq!(said.parameterization, Some(Parameterization::Epsilon));
    assert_eq!(said.noise_schedule_text(), "cosine");
    assert_eq!(
        (&said.network, &said.precision[..]),
        (&model.network_id(), "f64")
    );
    assert_eq!(said.shape, model.shape());
    assert_eq!(
        provenance.image_order,
        "first 20 of the permutation of the seed"
    );
    assert_eq!(provenance.split, "train");

    let mut other = plan;
    other.images.swap(0, 1);
    let provenance = run(&model, &data, &other, &Silent)
        .unwrap()
        .provenance()
        .clone();
    assert!(
        provenance.image_order.starts_with("indices with sha256"),
        "{}",
        provenance.image_order
    );
}

#[test]
fn refuses_to_resume_another_run() {
    let (model, data, plan) = small();
    let partial = {
        let plan = ProfilePlan {
            shard: Some((0, 7)),
            ..plan.clone()
        };
        run(&model, &data, &plan, &Silent).unwrap()
    };
    let resume = |model: &dyn Denoiser, data: &ImageSet, plan: &ProfilePlan| {
        profile(
            model,
            data,
            plan,
            Split::Train,
            Some(partial.clone()),
            &Silent,
            &mut |_| Ok(()),
        )
        .unwrap_err()
    };
    let text = resume(
        &model,
        &data,
        &ProfilePlan {
            seed: 12,
            ..plan.clone()
        },
    )
    .to_string();
    assert!(
        text.contains("cannot resume") && text.contains("seed"),
        "{text}"
    );
    let text = resume(&model, &models::byte_images(&model, 26), &plan).to_string();
    assert!(text.contains("data_sha256"), "{text}");
    let unclipped = ProfilePlan {
        clip_denoised: false,
        ..plan.clone()
    };
    assert!(
        resume(&model, &data, &unclipped)
            .to_string()
            .contains("clip_denoised")
    );
    let fewer = ProfilePlan {
        timesteps: plan.timesteps[1..].to_vec(),
        ..plan.clone()
    };
    let error = resume(&model, &data, &fewer);
    assert!(
        matches!(&error, Error::Resume { field, .. } if field == "timesteps"),
        "{error}"
    );
}

/// The same predictions, and nobody who vouches for them.
struct Anonymous(GaussianDenoiser);

impl Denoiser for Anonymous {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.0.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.0.shape()
    }
    fn learns_variance(&self) -> bool {
        true
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.0.predict(x, t, labels)
    }
}

#[test]
fn runs_of_an_unknown_network_are_neither_resumed_nor_merged() {
    let (model, data, plan) = small();
    let unknown = Anonymous(model.clone());
    let shard = |i| {
        let plan = ProfilePlan {
            shard: Some((i, 2)),
            ..plan.clone()
        };
        run(&unknown, &data, &plan, &Silent).unwrap()
    };
    let (first, second) = (shard(0), shard(1));
    let save = &mut |_: &ElboProfile| Ok(());
    let earlier = Some(first.clone());
    let resumed = profile(&unknown, &data, &plan, Split::Train, earlier, &Silent, save);
    let expected = "the network is unknown: expected the hash of its checkpoint or a name";
    let resumed = resumed.unwrap_err().to_string();
    assert!(resumed.contains(expected), "{resumed}");
    let merged = ElboProfile::merge(vec![first.clone(), second]);
    let merged = merged.unwrap_err().to_string();
    assert!(merged.contains(expected), "{merged}");
    // A network with a name does not go on with what another may have made.
    let named = profile(
        &model,
        &data,
        &plan,
        Split::Train,
        Some(first),
        &Silent,
        save,
    );
    let named = named.unwrap_err().to_string();
    assert!(
        named.contains("checkpoint_sha256") && named.contains("unknown"),
        "{named}"
    );
    // Whole runs are as good as any.
    assert!(run(&unknown, &data, &plan, &Silent).unwrap().is_complete());
}

#[test]
fn labels_are_passed_on_and_are_part_of_the_run() {
    let schedule = models::cosine(30);
    let mild = models::fixed(&schedule, Parameterization::X0);
    let other = GaussianDenoiser::new(
        schedule.clone(),
        ndarray::Array3::from_elem(models::SHAPE, 0.9),
        ndarray::Array3::from_elem(models::SHAPE, 1e-4),
        Parameterization::X0,
    )
    .unwrap();
    let data = models::images(&mild, 4);
    let plan = ProfilePlan::new(vec![1, 5, 30], (0..4).collect(), 4, 0);
    let plain = run(&mild, &data, &plan, &Silent).unwrap();
    let model = Conditional(vec![mild, other]);
    let labelled = data.clone().with_labels(vec![0, 0, 1, 0]).unwrap();
    let found = run(&model, &labelled, &plan, &Silent).unwrap();
    for (i, (a, b)) in found.blocks().iter().zip(plain.blocks()).enumerate() {
        assert_eq!(a == b, i != 2, "block {i}");
    }
    let hash = |p: &ElboProfile| p.provenance().extra.get("labels_sha256").cloned();
    assert!(hash(&plain).is_none());
    let all_zero = run(&model, &data.clone().with_class(0), &plan, &Silent).unwrap();
    assert_ne!(hash(&found), hash(&all_zero));
    assert!(ElboProfile::merge(vec![found, all_zero]).is_err());
    let text = run(&model, &data, &plan, &Silent).unwrap_err().to_string();
    assert!(text.contains("no labels"), "{text}");
}

#[test]
fn train_and_test_share_no_noise() {
    let (model, data, plan) = small();
    let of = |split| profile(&model, &data, &plan, split, None, &Silent, &mut |_| Ok(())).unwrap();
    let (train, test) = (of(Split::Train), of(Split::Test));
    // The same images, and so the same prior terms; what the network makes of them differs everywhere.
    let curves = [&train, &test].map(|p| Curves::from_profile(p).unwrap());
    assert_eq!(curves[0].x0_mean_square(), curves[1].x0_mean_square());
    for &t in train.layout().timesteps() {
        assert_ne!(curves[0].mse()[t], curves[1].mse()[t], "t = {t}");
    }
    assert_eq!(train.provenance().extra.get("noise_streams"), None);
    assert_eq!(test.provenance().extra["noise_streams"], "test");
    // Direct evaluation meets the noise of the profile of its split.
    let path = TimePath::new([train.layout().timesteps()[3]], 40).unwrap();
    let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
    let scored = Schedule::of_path(model.noise_schedule(), path.clone(), &scoring).unwrap();
    let direct = |split| {
        let plan = BitsPerDimPlan {
            noise: Noise::Seed {
                seed: plan.seed,
                split,
            },
            clip_denoised: plan.clip_denoised,
            ..BitsPerDimPlan::new(scored.clone(), plan.images.clone())
        };
        let found = bits_per_dim(&model, &data, &plan, &Silent).unwrap();
        let bits = &found.terms[0].bits_per_dim;
        bits.iter().sum::<f64>() / bits.len() as f64 * std::f64::consts::LN_2
    };
    for (split, curves) in [Split::Train, Split::Test].into_iter().zip(&curves) {
        let model = CostModel::new(curves, scoring.into()).unwrap();
        let cost = model.path_cost(&path);
        assert!((direct(split) - cost).abs() < 1e-9, "{split}");
    }
}

#[test]
fn names_what_does_not_fit() {
    let (model, data, plan) = small();
    let message = |data: &ImageSet, plan: &ProfilePlan| {
        run(&model, data, plan, &Silent).unwrap_err().to_string()
    };
    let other_size = ImageSet::from_array("other", Array4::zeros((25, 1, 4, 4)).view()).unwrap();
    assert!(message(&other_size, &plan).contains("expected 3x4x4 (the model's), found 1x4x4"));
    let with = |change: &dyn Fn(&mut ProfilePlan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        message(&data, &plan)
    };
    assert!(with(&|p| p.images.clear()).contains("at least one image"));
    assert!(with(&|p| p.images[3] = 25).contains("below 25"));
    assert!(with(&|p| p.images[3] = p.images[4]).contains("twice"));
    assert!(with(&|p| p.images_per_block = 0).contains("images per block"));
    assert!(with(&|p| p.timesteps = vec![]).contains("timesteps"));
    assert!(with(&|p| p.timesteps = vec![3, 2]).contains("timesteps"));
    assert!(with(&|p| p.timesteps = vec![41]).contains("1..=40"));
    assert!(with(&|p| p.nodes = 1).contains("nodes"));
    assert!(with(&|p| p.shard = Some((3, 3))).contains("found 3/3"));
    assert!(with(&|p| p.shard = Some((0, 8))).contains("at most 7 shards"));
    let faulty = Faulty {
        model: model.clone(),
        fault: Fault::NotFinite,
        from: 20,
    };
    let text = run(&faulty, &data, &plan, &Silent).unwrap_err().to_string();
    assert!(
        text.contains("not finite") && text.contains("timestep"),
        "{text}"
    );
}
