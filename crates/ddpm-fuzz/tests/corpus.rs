//! The corpus, read by every target: what was found once is found again.

use std::collections::BTreeSet;
use std::time::Duration;

use ddpm_fuzz::{Campaign, Limits, Meter, Report, TARGETS, folder, inputs, name_of, seeds};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Inputs of every reader beside the corpus; a campaign shows millions.
const INPUTS: u64 = 300;

#[test]
fn every_reader_takes_valid_inputs_and_breaks_at_none() {
    for target in &TARGETS {
        let kept = inputs(target).unwrap();
        let mut report = Report::default();
        let seeds = seeds(target).unwrap();
        let campaign = Campaign {
            target,
            seeds: &seeds,
            seed: 0,
            limits: Limits {
                // A build without optimisation on a busy machine.
                time: Duration::from_secs(60),
                ..Limits::default()
            },
            meter: Some(Meter {
                reset: || ALLOCATOR.reset_peak_usage(),
                held: || ALLOCATOR.current_usage(),
                peak: || ALLOCATOR.peak_usage(),
            }),
        };
        for (name, input) in &kept {
            assert_eq!(*name, name_of(input), "{}", target.name);
            campaign.show(input, &mut report);
            let broken = report.findings.first().map(|finding| &finding.what);
            assert_eq!(broken, None, "fuzz/corpus/{}/{name}", target.name);
        }
        assert!(report.accepted > 0, "{}: no input is valid", target.name);
        let report = campaign.run(0, &mut |number, _| number < INPUTS);
        let broken: Vec<_> = report
            .findings
            .iter()
            .map(|finding| &finding.what)
            .collect();
        assert!(broken.is_empty(), "{}: {broken:?}", target.name);
    }
}

/// cargo-fuzz finds its targets by their files.
#[test]
fn every_reader_has_a_target_of_cargo_fuzz_and_a_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let fuzz = folder(None).with_file_name("");
    let found = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        let stem =
            |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(found("fuzz_targets"), names);
    assert_eq!(found("corpus"), names);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &names {
        let file = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"{file}\"")), "{name}");
        let source = std::fs::read_to_string(fuzz.join(&file)).unwrap();
        assert!(source.contains(&format!("target(\"{name}\")")), "{name}");
    }
}
