//! Judges schedules by their samples, on test beds whose cells are fixed in a file beforehand.
//!
//! ```text
//! cargo run --release --example judged -- docs/judged-cells.json --work DIR --out docs/judged.json [--data DIR] [--bed NAME,..] [--steps K,..]
//! cargo run --release --example judged -- docs/judged-cells.json --picture docs/judged.svg --bed rings-2 --sampler dpm-solver++ --steps 4
//! cargo run --release --example judged -- --report docs/judged.json
//! ```
//!
//! Every cell is a test bed, a sampler and a number of steps. In it stand the schedules that the tool chooses (once for every choosing seed) and those that
//! others use, all sampled from the same noise (of the sampling seeds, which nothing was chosen on). Goes on where it was stopped: a finished cell is kept in the
//! work folder.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example, not a library"
)]

mod bed;
mod cell;
mod picture;
mod report;

use std::path::PathBuf;

use ddpm::files::{sha256, write_atomic};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| {
        let at = words.iter().position(|w| w == flag);
        at.and_then(|i| words.get(i + 1)).cloned()
    };
    if let Some(file) = value("--report") {
        let found: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        print!("{}", report::text(&found)?);
        return Ok(());
    }
    let plan = words.first().ok_or("expected the file of cells first")?;
    let plan: Value = serde_json::from_slice(&std::fs::read(plan)?)?;
    let data = PathBuf::from(value("--data").unwrap_or_default());
    if let Some(out) = value("--picture") {
        let name = value("--bed").ok_or("--bed: expected one, to draw")?;
        let beds = plan["beds"].as_array().ok_or("beds: expected a list")?;
        let told = beds.iter().find(|bed| bed["name"] == name.as_str());
        let told = told.ok_or("--bed: expected one of the plan")?;
        let sampler = value("--sampler").ok_or("--sampler: expected a name")?;
        let steps = value("--steps")
            .ok_or("--steps: expected a number")?
            .parse()?;
        let mut bed = bed::Bed::open(told, &plan, &data)?.with_steps(vec![steps]);
        let svg = picture::draw(&mut bed, sampler.parse()?, steps)?;
        return Ok(write_atomic(&PathBuf::from(out), svg.as_bytes())?);
    }
    let work = PathBuf::from(value("--work").ok_or("--work: expected a folder")?);
    let out = PathBuf::from(value("--out").ok_or("--out: expected a file")?);
    std::fs::create_dir_all(&work)?;
    let only: Option<Vec<String>> =
        value("--bed").map(|list| list.split(',').map(str::to_owned).collect());
    let of_steps: Option<Vec<u64>> = value("--steps")
        .map(|list| list.split(',').map(str::parse).collect())
        .transpose()?;
    let of_steps = of_steps.as_ref();
    let beds = plan["beds"].as_array().ok_or("beds: expected a list")?;
    let mut cells = Vec::new();
    let mut rest = plan.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("beds");
    }
    for told in beds {
        let name = told["name"].as_str().ok_or("name: expected a text")?;
        let wanted = only
            .as_ref()
            .is_none_or(|only| only.iter().any(|n| n == name));
        let mut opened = None;
        // What a kept cell has to be of.
        let described = match told["network"].as_str() {
            Some(file) if file.ends_with(".json") => std::fs::read_to_string(file)?,
            _ => String::new(),
        };
        let plan_sha256 = sha256(format!("{told}{rest}{described}").as_bytes());
        for sampler in bed::words(told, &plan, "samplers")? {
            for steps in bed::numbers(told, &plan, "steps")? {
                let file = work.join(format!("{name}-{sampler}-{steps}.json"));
                if file.exists() {
                    let kept: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
                    if kept["plan_sha256"] != plan_sha256 {
                        let why = "it is of another plan; expected an empty --work folder";
                        return Err(format!("{}: {why}", file.display()).into());
                    }
                    cells.push(kept);
                    continue;
                }
                if !wanted {
                    continue;
                }
                if !of_steps.is_none_or(|only| only.contains(&steps)) {
                    continue;
                }
                let bed = match &mut opened {
                    Some(bed) => bed,
                    none => none.insert(bed::Bed::open(told, &plan, &data)?),
                };
                let begin = std::time::Instant::now();
                let mut found = cell::judge(bed, sampler.parse()?, usize::try_from(steps)?)?;
                found["plan_sha256"] = plan_sha256.clone().into();
                write_atomic(&file, serde_json::to_string(&found)?.as_bytes())?;
                cells.push(found);
                let seconds = begin.elapsed().as_secs_f64();
                eprintln!("{name}, {sampler}, K={steps}: {seconds:.0} s");
            }
        }
    }
    let found = json!({"plan": plan, "cells": cells});
    write_atomic(
        &out,
        (serde_json::to_string_pretty(&found)? + "\n").as_bytes(),
    )?;
    print!("{}", report::text(&found)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A plan of a small bed through everything that the real one goes through.
    #[test]
    fn cells_of_a_small_bed_are_judged_and_reported() {
        let root = env!("CARGO_MANIFEST_DIR");
        let plan = json!({
            "beds": [{"name": "grid-2", "network": format!("{root}/datasets/test-beds/grid-2.json"), "metric": "energy"}],
            "samples": 128, "reference": 256, "starts": 4, "samplers": ["dpm-solver++", "unipc"], "steps": [4],
            "choosing_seeds": [1, 2], "sampling_seeds": [101, 102]
        });
        let told = &plan["beds"][0];
        let mut bed = bed::Bed::open(told, &plan, Path::new("")).unwrap();
        let cells: Vec<Value> = ["dpm-solver++", "unipc"]
            .into_iter()
            .map(|sampler| cell::judge(&mut bed, sampler.parse().unwrap(), 4).unwrap())
            .collect();
        let rows = cells[0]["rows"].as_array().unwrap();
        for name in [
            "quality",
            "fitted",
            "tuned",
            "even",
            "GITS",
            "reweighted MSE",
        ] {
            let row = rows.iter().find(|row| row["schedule"] == name).unwrap();
            let chosen = ["quality", "fitted", "tuned"].contains(&name);
            let runs = row["runs"].as_array().unwrap();
            assert_eq!(runs.len(), if chosen { 2 } else { 1 }, "{name}");
            assert!(runs[0]["flow_rms"].as_f64().unwrap() > 0.0);
            if chosen {
                assert!(runs[0]["minus"]["even"]["standard_error"].as_f64().unwrap() > 0.0);
            }
        }
        // UniPC has no coefficients of its own, and takes the schedules of DPM-Solver++(2M).
        let names = |cell: &Value| -> Vec<String> {
            let rows = cell["rows"].as_array().unwrap().iter();
            rows.map(|r| r["schedule"].as_str().unwrap().to_owned())
                .collect()
        };
        assert!(!names(&cells[1]).contains(&"fitted".to_owned()));
        let text = report::text(&json!({"plan": plan, "cells": cells})).unwrap();
        assert!(text.contains("grid-2") && text.contains("Holm"), "{text}");
    }
}
