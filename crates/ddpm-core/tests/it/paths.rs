//! Paths and strides.

use ddpm_core::{Error, NoiseSchedule, NoiseScheduleName, PathSpec, Stride, TimePath};
use proptest::prelude::*;

use crate::support::any_schedule;

fn cosine(train_steps: usize) -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, train_steps).unwrap()
}

#[test]
fn bad_paths_are_errors() {
    let increasing = |previous, node| Err(Error::PathNotIncreasing { previous, node });
    assert_eq!(
        TimePath::new([], 9),
        Err(Error::EmptyPath { train_steps: 9 })
    );
    assert_eq!(
        TimePath::new([0], 9),
        Err(Error::EmptyPath { train_steps: 9 })
    );
    assert_eq!(TimePath::new([0, 0, 1], 9), increasing(0, 0));
    assert_eq!(TimePath::new([1, 5, 5], 9), increasing(5, 5));
    assert_eq!(TimePath::new([1, 5, 0], 9), increasing(5, 0));
    assert_eq!(
        TimePath::new([1, 10], 9),
        Err(Error::TimestepOutOfRange {
            t: 10,
            train_steps: 9
        })
    );
}

#[test]
fn zero_based_paths_shift_by_one() {
    let schedule = cosine(9);
    let spec = PathSpec::Nodes(vec![0, 3, 8]);
    assert_eq!(spec.resolve(&schedule, true).unwrap().nodes(), [0, 1, 4, 9]);
    assert_eq!(spec.resolve(&schedule, false).unwrap().nodes(), [0, 3, 8]);
    let beyond = PathSpec::Nodes(vec![9]).resolve(&schedule, true);
    assert_eq!(
        beyond,
        Err(Error::TimestepOutOfRange {
            t: 10,
            train_steps: 9
        })
    );
    let huge = PathSpec::Nodes(vec![usize::MAX]).resolve(&schedule, true);
    assert!(huge.is_err());
}

#[test]
fn strides_follow_their_rules() {
    let schedule = cosine(4000);
    let nodes = |stride: Stride| stride.path(&schedule).unwrap().nodes()[1..].to_vec();
    assert_eq!(
        nodes(Stride::Even(7)),
        [571, 1142, 1714, 2285, 2857, 3428, 4000]
    );
    assert_eq!(nodes(Stride::Quadratic(5)), [160, 640, 1440, 2560, 4000]);
    // linspace(0, 56.57, 5)^2 = 0, 200, 800, 1800, 3200.
    assert_eq!(
        nodes(Stride::DdimQuadratic(5)),
        [1, 201, 801, 1801, 3201, 4000]
    );
    assert_eq!(nodes(Stride::All), (1..=4000).collect::<Vec<_>>());
    for one in [Stride::Even(1), Stride::Quadratic(1)] {
        assert_eq!(nodes(one), [4000]);
    }
    for two in [
        Stride::LogSnr(2),
        Stride::Karras(2),
        Stride::DdimQuadratic(1),
    ] {
        assert_eq!(nodes(two), [1, 4000]);
    }
    // Halves go to the even timestep: 2 (1/2)^2 = 0.5 and 6 (1/2)^2 = 1.5, of which 0 moves up.
    assert_eq!(
        Stride::Quadratic(2).path(&cosine(2)).unwrap().nodes(),
        [0, 1, 2]
    );
    assert_eq!(
        Stride::Quadratic(2).path(&cosine(6)).unwrap().nodes(),
        [0, 2, 6]
    );
}

#[test]
fn logsnr_stride_has_equal_intervals() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 4000).unwrap();
    let path = Stride::LogSnr(9).path(&schedule).unwrap();
    let width = (schedule.log_snr(1) - schedule.log_snr(4000)) / 8.0;
    // The first training steps are a log-SNR of 1/t apart; the nearest timestep is within half of that.
    for (t, s) in path.edges().skip(1) {
        let interval = schedule.log_snr(s) - schedule.log_snr(t);
        assert!(
            (interval / width - 1.0).abs() < 0.1,
            "({t}, {s}): {interval} of {width}"
        );
    }
}

#[test]
fn karras_stride_has_equal_intervals_of_the_seventh_root() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 4000).unwrap();
    let path = Stride::Karras(9).path(&schedule).unwrap();
    let root = |t: usize| schedule.snr(t).powf(-1.0 / 14.0);
    let width = (root(4000) - root(1)) / 8.0;
    for (t, s) in path.edges().skip(1) {
        let interval = root(t) - root(s);
        assert!(
            (interval / width - 1.0).abs() < 0.02,
            "({t}, {s}): {interval} of {width}"
        );
    }
}

#[test]
fn impossible_step_counts_are_errors() {
    let schedule = cosine(10);
    let strides: [fn(usize) -> Stride; 5] = [
        Stride::Even,
        Stride::Quadratic,
        Stride::DdimQuadratic,
        Stride::LogSnr,
        Stride::Karras,
    ];
    for stride in strides {
        for steps in [0, 11, usize::MAX] {
            assert_eq!(
                stride(steps).path(&schedule),
                Err(Error::ImpossibleStepCount {
                    steps,
                    train_steps: 10
                })
            );
        }
    }
    // Its K points and then T are one step too many.
    assert!(Stride::DdimQuadratic(10).path(&schedule).is_err());
    assert!(Stride::DdimQuadratic(9).path(&schedule).is_ok());
}

proptest! {
    #[test]
    fn strides_increase_and_end_at_the_last_timestep(
        (schedule, steps) in any_schedule().prop_flat_map(|schedule| {
            let train_steps = schedule.train_steps();
            (Just(schedule), 1..=train_steps)
        }),
    ) {
        let train_steps = schedule.train_steps();
        for stride in [
            Stride::Even(steps),
            Stride::Quadratic(steps),
            Stride::LogSnr(steps),
            Stride::Karras(steps),
        ] {
            // `TimePath::new` has checked the order.
            let path = stride.path(&schedule).unwrap();
            prop_assert_eq!(path.steps(), steps, "{}", stride);
            prop_assert_eq!(path.end(), train_steps, "{}", stride);
        }
        if steps < train_steps {
            let path = Stride::DdimQuadratic(steps).path(&schedule).unwrap();
            prop_assert_eq!(path.steps(), steps + 1);
            prop_assert_eq!(path.end(), train_steps);
        }
    }

    #[test]
    fn all_steps_are_all_timesteps(schedule in any_schedule()) {
        let train_steps = schedule.train_steps();
        let all = TimePath::all(train_steps);
        prop_assert_eq!(&Stride::All.path(&schedule).unwrap(), &all);
        prop_assert_eq!(&Stride::Even(train_steps).path(&schedule).unwrap(), &all);
        prop_assert_eq!(&Stride::Karras(train_steps).path(&schedule).unwrap(), &all);
    }

    #[test]
    fn paths_keep_their_invariants(
        nodes in prop::collection::btree_set(1_usize..500, 1..60),
        slack in 0_usize..20,
    ) {
        let nodes: Vec<usize> = nodes.into_iter().collect();
        let train_steps = nodes[nodes.len() - 1] + slack;
        let path = TimePath::new(nodes.clone(), train_steps).unwrap();
        prop_assert_eq!(path.nodes()[0], 0);
        prop_assert_eq!(&path.nodes()[1..], &nodes[..]);
        prop_assert_eq!(path.steps(), nodes.len());
        prop_assert_eq!(path.end(), nodes[nodes.len() - 1]);
        prop_assert!(path.edges().all(|(t, s)| s < t));
        prop_assert_eq!(path.edges().map(|(t, s)| t - s).sum::<usize>(), path.end());
        // With the leading 0, and through text, it is the same path.
        prop_assert_eq!(&TimePath::new(path.nodes(), train_steps).unwrap(), &path);
        let schedule = NoiseSchedule::from_betas(&vec![0.01; train_steps]).unwrap();
        let read: PathSpec = path.to_string().parse().unwrap();
        prop_assert_eq!(&read.resolve(&schedule, false).unwrap(), &path);
    }
}

/// T (k / K)^2 with a half goes to the even number.
#[test]
fn halves_of_the_quadratic_stride_go_to_the_even_timestep() {
    for (train_steps, middle) in [(10, 2), (14, 4), (18, 4), (22, 6), (11, 3), (9, 2)] {
        let path = Stride::Quadratic(2).path(&cosine(train_steps)).unwrap();
        assert_eq!(path.nodes(), [0, middle, train_steps]);
    }
}

/// A log-SNR in the middle of two timesteps goes to the smaller one.
#[test]
fn ties_of_the_log_snr_stride_go_to_the_smaller_timestep() {
    // alpha_bar whose log-SNR are 3, 2, 1, 0: those of two equal intervals are 3, 1.5 and 0.
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let alpha_bar = [3.0, 2.0, 1.0, 0.0].map(logistic);
    let schedule = NoiseSchedule::from_alpha_bar(&alpha_bar).unwrap();
    let log_snr = [1, 2, 3, 4].map(|t| schedule.log_snr(t));
    let target = 0.5 * (log_snr[0] + log_snr[3]);
    let path = Stride::LogSnr(3).path(&schedule).unwrap();
    let nearer = if log_snr[1] - target <= target - log_snr[2] {
        2
    } else {
        3
    };
    assert_eq!(path.nodes(), [0, 1, nearer, 4]);
}
