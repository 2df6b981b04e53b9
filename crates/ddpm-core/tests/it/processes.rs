//! Processes of other clocks: against the schedulers of diffusers step by step, and networks of theirs as networks of our chain.

use ddpm_core::{
    Denoiser, DenoiserError, Error, NetworkOutput, NoiseSchedule, NoiseScheduleName, OnProcess,
    Parameterization, Prediction, Process, ProcessKind, Sampler, TimePath, predict_x0,
};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::golden_json;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// The process whose nodes are these sigmas (noisiest first in the file).
fn process_of(name: &str, sigmas: &[f64]) -> Process {
    let sigmas: Vec<f64> = sigmas.iter().rev().copied().collect();
    let alphas: Vec<f64> = match name {
        "flow" => sigmas.iter().map(|s| 1.0 - s).collect(),
        _ => vec![1.0; sigmas.len()],
    };
    Process::table(&alphas, &sigmas, &sigmas).expect("a process")
}

#[test]
fn steps_are_those_of_the_schedulers_of_diffusers() {
    let file: Value = golden_json("processes.json");
    let sigma_data = file["sigma_data"].as_f64().expect("a number");
    let mut checked = 0;
    for case in file["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("a name");
        let (kind, solver) = name.split_once(", ").expect("process and solver");
        let sampler = match solver {
            "euler" => Sampler::Ddim,
            _ => Sampler::DpmSolver2M,
        };
        let output = match case["output"].as_str() {
            Some("velocity") => NetworkOutput::Velocity,
            _ => NetworkOutput::Edm { sigma_data },
        };
        let process = process_of(kind, &numbers(&case["sigmas"]));
        let schedule = process.noise_schedule();
        let n = schedule.train_steps();
        let mut before: Option<Vec<f64>> = None;
        for (i, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let (t, s) = (n - i, n - i - 1);
            // Flow-matching schedulers count s in thousandths.
            let told = output.time(&process, t) * if kind == "flow" { 1000.0 } else { 1.0 };
            assert!((told - step["time"].as_f64().expect("a time")).abs() < 1e-12);
            let ours: Vec<f64> = numbers(&step["state"])
                .iter()
                .map(|x| x / process.scale(t))
                .collect();
            let factor = output.input_scale(&process, t);
            for (x, shown) in ours.iter().zip(numbers(&step["shown"])) {
                assert!((factor * x - shown).abs() < 1e-12, "{name} {i}");
            }
            let [of_state, of_output] = output.estimate(&process, t).expect("an estimate");
            let outputs = numbers(&step["output"]);
            let estimate: Vec<f64> = ours
                .iter()
                .zip(&outputs)
                .map(|(x, out)| of_state * x + of_output * out)
                .collect();
            let nodes: &[usize] = if i > 0 { &[t + 1] } else { &[] };
            let linear = sampler.flow_step(schedule, nodes, t, s);
            let mut next = vec![0.0; ours.len()];
            let history = before.as_deref().unwrap_or_default();
            linear.apply(&ours, &estimate, &[history], &[], &mut next);
            for (x, expected) in next.iter().zip(numbers(&step["next"])) {
                let found = process.scale(s) * x;
                // They compute in single precision.
                let off = (found - expected).abs() / expected.abs().max(1.0);
                assert!(off < 1e-6, "{name}, step {i}: {found} {expected}");
                checked += 1;
            }
            before = Some(estimate);
        }
    }
    assert_eq!(checked, 4 * 6 * 6);
}

fn any_process() -> impl Strategy<Value = Process> {
    prop_oneof![
        (2usize..300).prop_map(|n| Process::flow(n).unwrap()),
        (2usize..300, 1e-3..0.1f64, 1.0..200.0f64)
            .prop_map(|(n, from, to)| Process::edm(from, to, n).unwrap()),
        (20usize..300).prop_map(|n| {
            Process::vp(NoiseSchedule::named(NoiseScheduleName::Cosine, n).unwrap())
        }),
        (2usize..60).prop_map(|n| {
            let list = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
                (1..=n).map(|k| f(k as f64 / n as f64)).collect()
            };
            // A flow on a circle that grows.
            let alphas = list(&|u| (1.0 + u) * (1.5 * u).cos());
            let sigmas = list(&|u| (1.0 + u) * (1.5 * u).sin());
            Process::table(&alphas, &sigmas, &list(&|u| 1000.0 * u)).unwrap()
        }),
    ]
}

const OUTPUTS: [NetworkOutput; 5] = [
    NetworkOutput::Epsilon,
    NetworkOutput::X0,
    NetworkOutput::V,
    NetworkOutput::Velocity,
    NetworkOutput::Edm { sigma_data: 0.5 },
];

/// What a network that knows x_0 and epsilon would put out.
fn told(output: NetworkOutput, process: &Process, t: usize, x0: f64, noise: f64) -> f64 {
    let (alpha, sigma) = (process.alpha(t), process.sigma(t));
    match output {
        NetworkOutput::Epsilon => noise,
        NetworkOutput::X0 => x0,
        NetworkOutput::V => alpha * noise - sigma * x0,
        NetworkOutput::Velocity => noise - x0,
        NetworkOutput::Edm { sigma_data } => {
            // Table 1, of x / alpha.
            let (y, level) = (x0 + sigma / alpha * noise, sigma / alpha);
            let power = level * level + sigma_data * sigma_data;
            let (skip, out) = (
                sigma_data * sigma_data / power,
                level * sigma_data / power.sqrt(),
            );
            (x0 - skip * y) / out
        }
    }
}

proptest! {
    /// Networks that are right give the data back, whatever they put out, and our states are theirs after the rescaling.
    #[test]
    fn what_a_perfect_network_puts_out_is_the_data(process in any_process(), at in 0.0..1.0f64, x0 in -1.0..1.0f64, noise in -3.0..3.0f64) {
        let n = process.noise_schedule().train_steps();
        let t = 1 + ((n - 1) as f64 * at) as usize;
        let (alpha, sigma) = (process.alpha(t), process.sigma(t));
        let schedule = process.noise_schedule();
        let ours = schedule.alpha_bar(t).sqrt() * x0 + schedule.one_minus_alpha_bar(t).sqrt() * noise;
        let theirs = alpha * x0 + sigma * noise;
        prop_assert!((process.scale(t) * ours - theirs).abs() < 1e-9 * (1.0 + sigma));
        for output in OUTPUTS {
            let Some([of_state, of_output]) = output.estimate(&process, t) else {
                prop_assert!(alpha == 0.0);
                continue;
            };
            let found = of_state * ours + of_output * told(output, &process, t, x0, noise);
            // What is subtracted from a state with little signal is multiplied.
            let size = 1.0 + sigma / alpha.clamp(1e-300, 1.0);
            prop_assert!((found - x0).abs() < 1e-9 * size, "{output} at {t} of {n}: {found} {x0}");
        }
    }
}

/// x, times and labels as they are handed over.
fn doubled(
    x: ndarray::ArrayViewD<'_, f32>,
    times: &[f64],
    _: Option<&[usize]>,
) -> Result<Prediction, DenoiserError> {
    assert_eq!(times.len(), x.shape()[0]);
    Ok(Prediction {
        mean: x.mapv(|x| 2.0 * x),
        variance: None,
    })
}

#[test]
fn a_process_is_made_again_from_the_settings_of_its_network() {
    let settings = |process: &Process| {
        let network = OnProcess::new(process.clone(), NetworkOutput::X0, &[2], doubled);
        network.settings()
    };
    let flow = Process::flow(37).unwrap();
    for process in [
        flow.clone().with_time_scale(999.5).unwrap(),
        flow,
        Process::edm(0.002, 80.0, 18).unwrap(),
        Process::edm(1.0 / 3.0, 1e30, 5).unwrap(),
        Process::table(&[2.0 / 3.0, 0.1], &[0.4, 0.7], &[1e-300, -2.0]).unwrap(),
        Process::table(&[0.5, 0.1, 0.0], &[0.5, 0.9, 1.0], &[0.5, 0.9, 1.0]).unwrap(),
    ] {
        let told = settings(&process);
        let is_table = process.spacing().starts_with("a table");
        assert_eq!(told.contains_key("process_nodes"), is_table);
        assert_eq!(Process::of_settings(&told), Some(process));
    }
    let chain = Process::vp(NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap());
    assert_eq!(Process::of_settings(&settings(&chain)), None);
    let told = |text: &str, nodes: Option<&str>| {
        let nodes = nodes.map(|nodes| ("process_nodes".to_owned(), nodes.to_owned()));
        let all = [("process".to_owned(), text.to_owned())];
        Process::of_settings(&all.into_iter().chain(nodes).collect())
    };
    for text in [
        "vp, whole timesteps",
        "table, a table of 2 nodes (0123456789abcdef)",
        "flow, 0 nodes even in s",
        "flow, 037 nodes even in s",
        "flow, 37 nodes even in s, told -1 at the last",
        "flow, 37 nodes even in s, told 7 in the middle",
        "edm, 37 nodes even in s",
        "edm, 5 nodes even in sigma^(1/7) from 2 to 1",
        "flow",
        "",
    ] {
        for nodes in [
            None,
            Some("0.5 0.5 0.5,0.1 0.9 0.9"),
            Some("0.5 0.5"),
            Some(""),
        ] {
            let found = told(text, nodes);
            assert_eq!(found, None, "{text} {nodes:?}");
        }
    }
    let flow = Process::flow(3).unwrap();
    assert!(flow.clone().with_time_scale(f64::NAN).is_err());
    let told = flow.with_time_scale(10.0).unwrap();
    let edm = Process::edm(0.002, 80.0, 5).unwrap();
    for process in [told, edm, chain] {
        assert!(
            process.with_time_scale(2.0).is_err(),
            "its words would not hold it"
        );
    }
}

#[test]
fn networks_of_a_process_are_denoisers_of_the_chain() {
    let process = Process::flow(10).unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let network = OnProcess::new(
        process.clone().with_time_scale(1000.0).unwrap(),
        NetworkOutput::Velocity,
        &[2],
        |x: ndarray::ArrayViewD<'_, f32>, times: &[f64], labels: Option<&[usize]>| {
            seen.lock()
                .unwrap()
                .push((x.to_owned(), times.to_vec(), labels.map(<[_]>::to_vec)));
            doubled(x, times, labels)
        },
    )
    .with_classes(3)
    .with_batch(4);
    assert_eq!(network.parameterization(), Parameterization::X0);
    assert_eq!((network.train_steps(), network.preferred_batch()), (10, 4));
    assert_eq!(
        network.settings()["process"],
        "flow, 10 nodes even in s, told 1000 at the last"
    );
    assert_eq!(network.settings()["network_output"], "velocity");
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 2]), vec![0.5_f32, -1.0, 0.25, 2.0]).unwrap();
    let found = network
        .predict(x.view(), &[3, 10], Some(&[0, 2]))
        .unwrap()
        .mean;
    let (shown, times, labels) = seen.into_inner().unwrap().remove(0);
    assert_eq!((times, labels), (vec![300.0, 1000.0], Some(vec![0, 2])));
    for (b, (t, s)) in [(3, 0.3), (10, 1.0)].into_iter().enumerate() {
        for i in 0..2 {
            let theirs = process.scale(t) * f64::from(x[[b, i]]);
            assert!((f64::from(shown[[b, i]]) - theirs).abs() < 1e-7);
            // x_0 = x - s u.
            let expected = theirs - s * 2.0 * theirs;
            assert!((f64::from(found[[b, i]]) - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn outputs_of_the_chain_itself_are_handed_on_number_for_number() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000).unwrap();
    for (output, parameterization) in [
        (NetworkOutput::Epsilon, Parameterization::Epsilon),
        (NetworkOutput::V, Parameterization::V),
        (NetworkOutput::X0, Parameterization::X0),
    ] {
        let network = OnProcess::new(Process::vp(schedule.clone()), output, &[3], doubled);
        assert_eq!(network.parameterization(), parameterization);
        assert!(network.settings().is_empty());
        let x = ArrayD::from_shape_vec(IxDyn(&[1, 3]), vec![0.1_f32, -0.7, 1.3]).unwrap();
        let found = network.predict(x.view(), &[400], None).unwrap().mean;
        assert_eq!(found, x.mapv(|x| 2.0 * x));
        // By the general weights it is the same estimate.
        let [of_state, of_output] = output.estimate(network.process(), 400).unwrap();
        let state: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let mut estimate = [0.0; 3];
        let out: Vec<f32> = found.iter().copied().collect();
        predict_x0(
            parameterization,
            &schedule,
            400,
            &state,
            &out,
            false,
            &mut estimate,
        )
        .unwrap();
        for ((found, x), out) in estimate.iter().zip(&state).zip(&out) {
            let general = of_state * x + of_output * f64::from(*out);
            assert!((found - general).abs() < 1e-12);
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let of = |alphas: &[f64], sigmas: &[f64]| Process::table(alphas, sigmas, sigmas);
    assert!(matches!(
        of(&[1.0], &[0.1, 0.2]),
        Err(Error::LengthMismatch { what: "sigmas", .. })
    ));
    assert!(matches!(
        of(&[-1.0], &[0.1]),
        Err(Error::InvalidParameter { what: "alpha", .. })
    ));
    assert!(matches!(
        of(&[1.0], &[0.0]),
        Err(Error::InvalidParameter { what: "sigma", .. })
    ));
    assert!(matches!(
        of(&[1.0, 1.0], &[0.2, 0.1]),
        Err(Error::AlphaBarNotDecreasing { t: 2, .. })
    ));
    assert!(matches!(of(&[], &[]), Err(Error::NoTrainSteps)));
    assert!(matches!(Process::flow(0), Err(Error::NoTrainSteps)));
    assert!(matches!(
        Process::flow(usize::MAX),
        Err(Error::TooManyTrainSteps { .. })
    ));
    assert!(matches!(
        Process::edm(0.1, 1.0, usize::MAX),
        Err(Error::TooManyTrainSteps { .. })
    ));
    assert!(matches!(
        Process::edm(0.1, 1.0, 1),
        Err(Error::InvalidParameter { .. })
    ));
    assert!(matches!(
        Process::edm(0.0, 80.0, 9),
        Err(Error::InvalidParameter {
            what: "sigma_min",
            ..
        })
    ));
    assert!(matches!(
        Process::edm(1.0, 1.0, 9),
        Err(Error::InvalidParameter {
            what: "sigma_max",
            ..
        })
    ));
    // At the end of a flow the noise tells nothing of the data.
    let network = OnProcess::new(
        Process::flow(4).unwrap(),
        NetworkOutput::Epsilon,
        &[1],
        doubled,
    );
    let x = ArrayD::zeros(IxDyn(&[1, 1]));
    let error = network
        .predict(x.view(), &[4], None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("t = 4") && error.contains("epsilon"),
        "{error}"
    );
    assert!(network.predict(x.view(), &[3], None).is_ok());
    // An output of another shape.
    let wrong = OnProcess::new(
        Process::flow(4).unwrap(),
        NetworkOutput::X0,
        &[1],
        |_, _, _| {
            Ok(Prediction {
                mean: ArrayD::zeros(IxDyn(&[1, 2])),
                variance: None,
            })
        },
    );
    let wrong: &dyn Denoiser = &wrong;
    let error = wrong.predict(x.view(), &[3], None).unwrap_err().to_string();
    assert!(
        error.contains("[1, 2]") && error.contains("[1, 1]"),
        "{error}"
    );
}

#[test]
fn variance_channels_are_handed_on_where_they_are_said_to_be() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    let both = |x: ndarray::ArrayViewD<'_, f32>, _: &[f64], _: Option<&[usize]>| {
        Ok(Prediction {
            mean: x.to_owned(),
            variance: Some(x.mapv(|x| -x)),
        })
    };
    let x = ArrayD::from_elem(IxDyn(&[2, 3]), 0.5_f32);
    for process in [Process::vp(schedule), Process::flow(100).unwrap()] {
        let silent = OnProcess::new(process.clone(), NetworkOutput::X0, &[3], both);
        let error = silent.predict(x.view(), &[1, 60], None).unwrap_err();
        assert!(error.to_string().contains("expected none"), "{error}");
        let network = silent.with_learned_variance();
        assert!(network.learns_variance());
        let found = network.predict(x.view(), &[1, 60], None).unwrap();
        let shown = network.process().scale(60) as f32 * 0.5;
        assert!((found.variance.unwrap()[[1, 2]] + shown).abs() < 1e-7);
        let plain = OnProcess::new(process, NetworkOutput::X0, &[3], doubled);
        let plain = plain.with_learned_variance();
        let error = plain.predict(x.view(), &[1, 60], None).unwrap_err();
        assert!(error.to_string().contains("expected one"), "{error}");
    }
}

#[test]
fn lists_are_in_the_words_of_other_programs() {
    let path = TimePath::new([2, 5, 10], 10).unwrap();
    let flow = Process::flow(10).unwrap();
    assert_eq!(flow.times_of(&path), [1.0, 0.5, 0.2, 0.0]);
    assert_eq!(flow.sigmas_of(&path), [f64::INFINITY, 1.0, 0.25, 0.0]);
    assert_eq!(flow.kind(), ProcessKind::Flow);
    let edm = Process::edm(0.002, 80.0, 10).unwrap();
    assert_eq!(edm.times_of(&path), edm.sigmas_of(&path));
    assert_eq!((edm.sigma(1), edm.sigma(10)), (0.002, 80.0));
    let vp = Process::vp(NoiseSchedule::named(NoiseScheduleName::Cosine, 10).unwrap());
    assert_eq!(vp.times_of(&path), [9.0, 4.0, 1.0, 0.0]);
}
