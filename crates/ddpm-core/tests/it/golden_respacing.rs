//! Respacing strings against improved-diffusion's `space_timesteps`.

use ddpm_core::{Error, NoiseSchedule, NoiseScheduleName, Stride, space_timesteps};

use crate::support::golden_json;

#[test]
fn respacing_strings_equal_improved_diffusion() {
    for case in golden_json("respacing.json").as_array().unwrap() {
        let train_steps = case["T"].as_u64().unwrap() as usize;
        let respacing = case["respacing"].as_str().unwrap();
        let expected: Vec<usize> = case["timesteps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i.as_u64().unwrap() as usize)
            .collect();
        assert_eq!(
            space_timesteps(train_steps, respacing).unwrap(),
            expected,
            "T={train_steps} {respacing}"
        );
    }
}

#[test]
fn halves_round_to_even() {
    // Stride 2.5: positions 0, 2.5, 5, 7.5, 10.
    assert_eq!(space_timesteps(11, "5").unwrap(), [0, 2, 5, 8, 10]);
}

#[test]
fn impossible_respacings_are_errors() {
    let cases = [
        (10, "11", "section 1 of 1 has 10 timesteps: cannot take 11"),
        (10, "5,6", "section 2 of 2 has 5 timesteps: cannot take 6"),
        (
            10,
            "ddim7",
            "no integer stride takes exactly 7 of 10 timesteps",
        ),
        (
            10,
            "ddim1",
            "no integer stride takes exactly 1 of 10 timesteps",
        ),
        (10, "ddim0", "no integer stride"),
        (10, "ddim", "\"\" is not a step count"),
        (10, "", "\"\" is not a step count"),
        (10, "3,,2", "\"\" is not a step count"),
        (10, "-3", "\"-3\" is not a step count"),
        (10, "ten", "\"ten\" is not a step count"),
    ];
    for (train_steps, respacing, message) in cases {
        let error = space_timesteps(train_steps, respacing).unwrap_err();
        assert!(matches!(error, Error::InvalidRespacing { .. }), "{error}");
        assert!(error.to_string().contains(message), "{respacing}: {error}");
    }
}

#[test]
fn a_respacing_that_takes_nothing_is_no_path() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 10).unwrap();
    assert_eq!(space_timesteps(10, "0").unwrap(), [0_usize; 0]);
    assert_eq!(
        Stride::Respacing("0".to_owned()).path(&schedule),
        Err(Error::EmptyPath { train_steps: 10 })
    );
    let path = Stride::Respacing("ddim5".to_owned()).path(&schedule);
    assert_eq!(path.unwrap().nodes(), [0, 1, 3, 5, 7, 9]);
}
