//! Respaced chains against improved-diffusion's arrays.

use ddpm_core::RespacedChain;

use crate::support::{golden_chain, golden_json, numbers};

#[test]
fn respaced_chains_equal_improved_diffusion() {
    let cases = golden_json("constants.json");
    for case in cases.as_array().unwrap() {
        let (schedule, path) = golden_chain(case);
        let chain = RespacedChain::new(&schedule, &path);
        let arrays = [
            ("betas", &chain.betas),
            ("alphas_cumprod", &chain.alphas_cumprod),
            ("posterior_variance", &chain.posterior_variance),
            (
                "posterior_log_variance_clipped",
                &chain.posterior_log_variance_clipped,
            ),
            ("posterior_mean_coef1", &chain.posterior_mean_coef1),
            ("posterior_mean_coef2", &chain.posterior_mean_coef2),
        ];
        for (name, found) in arrays {
            assert_eq!(found.len(), path.steps());
            let index = case["index"].as_array().unwrap();
            for (at, expected) in index.iter().zip(numbers(&case[name])) {
                let at = at.as_u64().unwrap() as usize;
                let difference = (found[at] - expected).abs();
                assert!(
                    difference <= 1e-10 * expected.abs() || difference <= 1e-11,
                    "{} T={} {name}[{at}]: {} but {expected}",
                    case["schedule"],
                    case["T"],
                    found[at]
                );
            }
        }
    }
}
