//! `ddpm transitions` against the constants of the original implementation.

use serde_json::Value;

use crate::support::{Ddpm, golden_json, numbers};

const ARRAYS: [&str; 6] = [
    "betas",
    "alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
];

fn list(values: &Value) -> String {
    let words: Vec<String> = values
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    words.join(",")
}

#[test]
fn constants_equal_those_of_improved_diffusion() {
    let cases = golden_json("constants.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let path = match &case["timesteps"] {
            Value::String(all) => all.clone(),
            timesteps => list(timesteps),
        };
        let found = Ddpm::new("transitions")
            .arg("--noise-schedule")
            .arg(case["schedule"].as_str().unwrap())
            .arg("--train-steps")
            .arg(case["T"].to_string())
            .arg("--path")
            .arg(&path)
            .arg("--zero-based")
            .json();
        if case["timesteps"].is_array() {
            assert_eq!(found["path"], case["timesteps"]);
        }
        let index = case["index"].as_array().unwrap();
        for name in ARRAYS {
            let ours = numbers(&found[name]);
            for (at, expected) in index.iter().zip(numbers(&case[name])) {
                let at = usize::try_from(at.as_u64().unwrap()).unwrap();
                let error = (ours[at] - expected).abs();
                assert!(
                    error <= 1e-11 || error <= 1e-10 * expected.abs(),
                    "{} T={} {path}: {name}[{at}]: found {}, expected {expected}",
                    case["schedule"],
                    case["T"],
                    ours[at]
                );
            }
        }
    }
}

#[test]
fn respacing_strings_give_the_original_timesteps() {
    for case in golden_json("respacing.json").as_array().unwrap() {
        let spec = format!("respacing:{}", case["respacing"].as_str().unwrap());
        let found = Ddpm::new("transitions")
            .words("--noise-schedule linear --zero-based --train-steps")
            .arg(case["T"].to_string())
            .arg("--path")
            .arg(&spec)
            .json();
        assert_eq!(found["path"], case["timesteps"], "{spec}");
    }
}

#[test]
fn a_leading_clean_node_is_accepted_and_indices_count_from_one() {
    let chain = |path: &str, flag: &str| {
        Ddpm::new("transitions")
            .words("--noise-schedule cosine --train-steps 100 --path")
            .arg(path)
            .words(flag)
            .json()
    };
    let with = chain("0,1,50,100", "");
    assert_eq!(with, chain("1,50,100", ""));
    assert_eq!(with["path"], serde_json::json!([0, 1, 50, 100]));
    let zero_based = chain("0,49,99", "--zero-based");
    assert_eq!(zero_based["path"], serde_json::json!([0, 49, 99]));
    assert_eq!(zero_based["betas"], with["betas"]);
}

#[test]
fn the_table_for_people_has_a_title_and_one_row_per_step() {
    let text = Ddpm::new("transitions")
        .words("--noise-schedule linear --train-steps 100 --path even:4")
        .run()
        .succeeds()
        .stdout();
    assert!(
        text.starts_with(
            "Constants of the respaced chain: linear noise schedule, T=100, 4 steps\n"
        )
    );
    assert_eq!(text.lines().count(), 2 + 1 + 4);
}
