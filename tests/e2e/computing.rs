//! `--precision`, `--device`, `DDPM_ISA` and `DDPM_TIMING`: how the network is computed, and `ddpm bench`.

use std::path::Path;

use safetensors::SafeTensors;

use crate::support::{Ddpm, golden, scratch, small, small_images};

/// Instruction sets of which this processor may lack some.
const ISAS: [&str; 4] = ["generic", "avx2", "avx512", "amx"];

fn predict(folder: &Path, isa: Option<&str>, precision: &str) -> Option<Vec<f32>> {
    let output = folder.join("out.safetensors");
    let mut command = Ddpm::new("predict")
        .arg(golden("unet-hybrid-16px.pt"))
        .words("--num-heads 2 --precision")
        .arg(precision)
        .file("--input", &golden("unet-hybrid-16px.io.safetensors"))
        .over("--output", &output);
    if let Some(isa) = isa {
        command = command.env("DDPM_ISA", isa);
    }
    let outcome = command.run();
    if let Some(isa) = isa
        && outcome.code() == 2
    {
        outcome.fails(2, &["DDPM_ISA", isa, "does not have"]);
        println!("this processor has no {isa}");
        return None;
    }
    outcome.succeeds();
    Some(output_of(&output))
}

fn output_of(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor("output").unwrap().data().to_vec();
    data.as_chunks()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

/// Root mean square of the difference over that of `expected`.
fn error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    (difference / expected.iter().map(|&x| square(x)).sum::<f64>()).sqrt()
}

#[test]
fn every_instruction_set_gives_the_original_output() {
    let folder = scratch();
    let expected = output_of(&golden("unet-hybrid-16px.io.safetensors"));
    let mut ran = 0;
    for isa in ISAS {
        let Some(found) = predict(folder.path(), Some(isa), "f32") else {
            continue;
        };
        ran += 1;
        let worst = found
            .iter()
            .zip(&expected)
            .fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 2e-4, "{isa}: {worst:e}");
        let found = predict(folder.path(), Some(isa), "bf16").unwrap();
        let error = error(&found, &expected);
        assert!(error > 1e-5 && error < 2e-2, "{isa} in bf16: {error:e}");
    }
    assert!(ran >= 1, "the portable path runs everywhere");
    let best = predict(folder.path(), None, "f32").unwrap();
    assert!(error(&best, &expected) < 1e-4);
}

#[test]
fn what_is_not_to_be_had_is_a_usage_error() {
    small("bench")
        .env("DDPM_ISA", "sse")
        .fails(2, &["DDPM_ISA", "sse", "generic, avx2, avx512, amx"]);
    small("bench")
        .words("--device cuda --precision bf16")
        .fails(2, &["--precision bf16", "--device cpu"]);
    if !cfg!(feature = "cuda") {
        small("bench")
            .words("--device cuda")
            .fails(2, &["cuda", "cargo feature"]);
    }
    small("bench")
        .words("--precision f16")
        .fails(2, &["f16", "bf16"]);
}

#[test]
fn a_profile_remembers_its_precision() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 2, 0.0);
    let outs = ["f32", "bf16"].map(|precision| {
        let out = folder.path().join(precision);
        let found = small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--limit 2 --evaluations 40 --shard")
            .arg(if precision == "f32" { "0/2" } else { "1/2" })
            .words("--precision")
            .arg(precision)
            .json();
        assert_eq!(found["precision"], precision);
        out
    });
    Ddpm::new("merge")
        .arg(&outs[0])
        .arg(&outs[1])
        .file("--out", &folder.path().join("both"))
        .fails(3, &["precision", "f32", "bf16"]);
}

#[test]
fn bench_measures_and_says_on_what() {
    for (flags, precision) in [("", "f32"), ("--precision bf16", "bf16")] {
        let found = small("bench")
            .words("--batch 2 --rounds 3 --threads 1")
            .words(flags)
            .json();
        assert_eq!(found["precision"], precision);
        assert_eq!(found["device"], "cpu");
        assert_eq!(found["batch"], 2);
        assert_eq!(found["threads"], 1);
        assert_eq!(found["image_size"], 16);
        let ms = |key: &str| found[key].as_f64().unwrap();
        assert!(0.0 < ms("ms_per_image_least"));
        assert!(ms("ms_per_image_least") <= ms("ms_per_image"));
        assert!(ms("ms_per_image") <= ms("ms_per_image_most"));
    }
}

#[test]
fn time_is_taken_where_it_is_asked_for() {
    let bench = || small("bench").words("--rounds 1");
    let quiet = bench().run().succeeds();
    assert!(!quiet.stderr().contains("conv 3x3"), "{}", quiet.stderr());
    let timed = bench().env("DDPM_TIMING", "1").run().succeeds();
    for operation in ["conv 3x3", "conv 1x1", "group norm", "attention", "dense"] {
        assert!(timed.stderr().contains(operation), "{}", timed.stderr());
    }
    assert!(timed.stdout().contains("ms per image"));
}
