//! Likelihood terms against improved-diffusion's `_vb_terms_bpd`, from network output to bits.

use ddpm_core::{
    Parameterization, StepVariance, diffuse, edge_nll, nats_to_bits, predict_x0, prior_kl,
    respaced_decoder_log_variance,
};
use safetensors::SafeTensors;

use crate::support::{deviation, golden, golden_chain, golden_json, images, numbers};

/// The reference is f32; in f64 the formulas differ from it by 1.1e-6 at most.
const TOLERANCE: f64 = 5e-6;

#[test]
fn terms_equal_improved_diffusion() {
    let bytes = golden("vb.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let x_start = images(&tensors, "x_start");
    let noise = images(&tensors, "noise");
    let mut compared = 0;
    for case in golden_json("vb.json").as_array().unwrap() {
        let (schedule, path) = golden_chain(case);
        let edges: Vec<_> = path.edges().collect();
        let decoder =
            respaced_decoder_log_variance(&schedule, path.nodes()[1], path.nodes().get(2).copied());
        let net = images(&tensors, case["net"].as_str().unwrap());
        let kind = case["variance"].as_str().unwrap();
        for (b, (x0, noise)) in x_start.iter().zip(&noise).enumerate() {
            let dims = x0.len();
            let data: Vec<f64> = x0.iter().map(|&x| f64::from(x)).collect();
            let what = format!("{} {} {} image {b}", case["net"], case["schedule"], kind);

            let mean_square = data.iter().map(|x| x * x).sum::<f64>() / dims as f64;
            let prior = nats_to_bits(prior_kl(&schedule, path.end(), mean_square));
            let expected = numbers(&case["prior_bpd"])[b];
            assert!(
                deviation(prior, expected) < TOLERANCE,
                "{what}: prior {prior} {expected}"
            );

            let (mean, raw) = net[b].split_at(dims);
            let v: Vec<f64> = raw
                .iter()
                .map(|&raw| (f64::from(raw) + 1.0) / 2.0)
                .collect();
            for term in case["terms"].as_array().unwrap() {
                let (t, s) = edges[term["step"].as_u64().unwrap() as usize];
                assert_eq!(t, term["timestep"].as_u64().unwrap() as usize + 1);
                let transition = schedule.transition(t, s);
                let variance = match (kind, s) {
                    ("learned_range", _) => StepVariance::Learned(&v),
                    (_, 0) => StepVariance::LogVariance(decoder),
                    ("fixed_small", _) => {
                        StepVariance::LogVariance(transition.log_posterior_variance)
                    }
                    ("fixed_large", _) => StepVariance::LogVariance(transition.log_beta),
                    _ => panic!("unknown variance {kind}"),
                };
                let clip = term["clip_denoised"].as_bool().unwrap();
                let (mut x_t, mut estimate) = (vec![0.0; dims], vec![0.0; dims]);
                diffuse(&schedule, t, x0, noise, &mut x_t);
                let epsilon = Parameterization::Epsilon;
                predict_x0(epsilon, &schedule, t, &x_t, mean, clip, &mut estimate).unwrap();
                let nats = edge_nll(&transition, decoder, variance, &data, &estimate);
                let expected = numbers(&term["bpd"])[b];
                let found = nats_to_bits(nats);
                assert!(
                    deviation(found, expected) < TOLERANCE,
                    "{what} edge ({t}, {s}) clip {clip}: {found} but {expected}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 696);
}
