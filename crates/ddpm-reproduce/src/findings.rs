//! The paper's Table 3: what is in it, and whether a run shows what the paper found.

use std::path::Path;

use anyhow::bail;

use ddpm_schedule::Chosen;
use ddpm_schedule::results::{Table, TableRow};

use crate::results::{cost_with_prior, read, read_schedules};

/// The numbers of steps.
pub(crate) const STEPS: &str = "8,16,32,64,128,256";
/// The variances of the steps: first the four that are published, then those that go beyond.
pub(crate) const VARIANCES: [&str; 7] = [
    "learned",
    "fixed-small",
    "fixed-large",
    "analytic",
    "learned-calibrated",
    "spectral",
    "best",
];

/// Whose method the rows of each variance are, for a reader of the table.
pub(crate) const METHODS: &str = "\
learned, fixed-small                the paper's kernels
fixed-large                         Ho et al. 2020
analytic                            Analytic-DPM's (Bao et al. 2022), from the paper's profile
learned-calibrated, spectral, best  beyond the paper and everything published: calibrated kernels of this
                                    project (docs/likelihood.md); '+ mean' says that their mean is corrected too
";

/// Says whether the table shows what the paper found, and returns whether all of it holds. What goes beyond the paper is said too, and
/// decides nothing: few images may not show it.
pub(crate) fn print(out: &Path) -> anyhow::Result<bool> {
    let table = read::<Table>(&out.join("table.json"))?.rows;
    let differences: Vec<(usize, f64, f64)> = table
        .iter()
        .filter(|row| row.stride == "even" || row.stride == "quadratic")
        .filter_map(|row| {
            let difference = row.dp_minus_this.as_ref()?;
            Some((row.steps, difference.bpd, difference.standard_error))
        })
        .collect();
    let expected = 2 * VARIANCES.len() * STEPS.split(',').count();
    let compared = differences.len();
    if compared != expected {
        bail!(
            "table.json: expected {expected} rows of even and quadratic with a paired difference, found {compared}"
        );
    }
    let strictly_below = differences
        .iter()
        .all(|&(steps, difference, _)| steps > 64 || difference < 0.0);
    let never_above = differences
        .iter()
        .all(|&(_, difference, error)| difference <= 2.0 * error);
    println!(
        "  DP below even and quadratic at every K <= 64, every variance: {}",
        yes(strictly_below)
    );
    println!(
        "  DP nowhere above them by more than two paired standard errors: {}",
        yes(never_above)
    );

    let shared = read::<Table>(&out.join("table-one-decoder.json"))?.rows;
    let bpd = |variance: &str, like: &TableRow| {
        shared
            .iter()
            .find(|r| {
                r.variance.name() == variance && r.stride == like.stride && r.steps == like.steps
            })
            .map(|r| r.bpd)
    };
    if !shared.iter().any(|row| row.variance.name() == "analytic") {
        bail!("table-one-decoder.json: expected rows of the analytic variance");
    }
    let analytic_best = shared
        .iter()
        .filter(|row| row.variance.name() == "analytic")
        .all(|row| {
            ["fixed-small", "fixed-large"]
                .iter()
                .all(|fixed| bpd(fixed, row).is_some_and(|other| row.bpd < other))
        });
    let optimal_spectral =
        |row: &&TableRow| row.variance.name() == "spectral" && row.stride == "dp";
    let spectral: Vec<&TableRow> = shared.iter().filter(optimal_spectral).collect();
    if spectral.len() != STEPS.split(',').count() {
        bail!(
            "table-one-decoder.json: expected a dp row of the spectral variance for each K of {STEPS}, found {}",
            spectral.len()
        );
    }
    let spectral_best = spectral.iter().all(|row| {
        VARIANCES[..4]
            .iter()
            .all(|published| bpd(published, row).is_some_and(|other| row.bpd < other))
    });
    println!(
        "  analytic variance below both fixed ones under one decoder, every stride and K: {}",
        yes(analytic_best)
    );
    println!(
        "  beyond the paper: spectral below the four published variances under one decoder, DP, every K: {}",
        yes(spectral_best)
    );

    let mut free_never_above = true;
    for variance in VARIANCES {
        let chosen = |start: &str| -> anyhow::Result<Vec<Chosen>> {
            let file = format!("{variance}.{start}.schedules.json");
            Ok(read_schedules(&out.join(file))?.budgets)
        };
        let (full, free) = (chosen("full")?, chosen("free")?);
        free_never_above &= full
            .iter()
            .zip(&free)
            .all(|(full, free)| cost_with_prior(free) <= cost_with_prior(full));
        let gains: Vec<String> = full
            .iter()
            .zip(&free)
            .map(|(a, b)| {
                let gain = cost_with_prior(b) - cost_with_prior(a);
                format!("K={} {gain:+.5}", a.steps())
            })
            .collect();
        println!(
            "  {variance:<18} --start free minus full, on the choosing set: {}",
            gains.join("  ")
        );
    }
    println!(
        "  --start free never above full on the choosing set: {}",
        yes(free_never_above)
    );
    Ok(strictly_below && never_above && analytic_best && free_never_above)
}

/// How a finding is shown.
pub(crate) fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}
