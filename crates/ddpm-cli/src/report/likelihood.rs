//! Table 3 and bits/dim against K.

use ddpm_core::{StartRule, VarianceKind};
use ddpm_profile::table3;
use ddpm_schedule::Budgets;
use ddpm_schedule::results::RULE_OF_BEST;

use super::beside::Beside;
use super::found::Found;
use super::html::{Section, details, folded, paragraph, warning};
use super::profile_pairs::Pair;
use crate::commands::table::{tables, variances};
use crate::error::Located;
use crate::output::Voice;
use crate::plot::figures;
use crate::render::{TextTable, mean_with_error, or_dash};

/// The table, the figure, and what keeps a pair of profiles from having them.
pub(super) struct Likelihood {
    pub(super) table: Option<Section>,
    pub(super) figure: Option<Section>,
    pub(super) problems: Vec<String>,
}

pub(super) fn sections(pairs: &[Pair<'_>], beside: &mut Beside, voice: Voice) -> Likelihood {
    let (mut table, mut charts, mut problems) = (String::new(), String::new(), Vec::new());
    for pair in pairs {
        let names = format!("{} + {}", pair.train.name, pair.test.name);
        match one(pair, beside) {
            Ok((tables, figures)) => {
                let [train, test] = [pair.train, pair.test].map(|item| item.value.provenance());
                if train.data_sha256 == test.data_sha256 {
                    voice.warn(format_args!(
                        "{names}: both profiles are of the same images: numbers of optimised paths are biased low"
                    ));
                    table.push_str(&warning("Both profiles are of the same images: numbers of optimised paths are biased low."));
                }
                if pairs.len() > 1 {
                    table.push_str(&paragraph(&names));
                    charts.push_str(&paragraph(&names));
                }
                table.push_str(&tables);
                charts.push_str(&figures);
            }
            Err(error) => {
                voice.warn(format_args!("{names}: {error}"));
                problems.push(format!("Table 3 of {names}: {error}"));
            }
        }
    }
    Likelihood {
        table: Section::unless_empty("table", "Bits/dim of every stride (Table 3)", table),
        figure: Section::unless_empty(
            "bits-per-dim",
            "Bits/dim against the number of steps",
            charts,
        ),
        problems,
    }
}

fn one(pair: &Pair<'_>, beside: &mut Beside) -> crate::error::Result<(String, String)> {
    let (train, test) = (&pair.train.value, &pair.test.value);
    let train_steps = train.schedule().train_steps();
    let steps = Budgets::of_the_paper(train_steps)
        .wanted(train_steps)
        .or_internal()?;
    let kinds = variances(train, test);
    let rows = table3(train, test, &steps, &kinds, None, None, StartRule::Free)
        .in_file(&pair.test.path)?;
    let [mut scores, differences] = tables(train, test, &rows, &steps, &kinds);
    scores.note(RULE_OF_BEST);
    let html = beside.table("bits-per-dim-table", &scores)
        + &beside.table("optimal-minus-others", &differences);
    let first = VarianceKind::of_network(train.layout().learned());
    // The network's own variance is the figure of the page; the others open.
    let mut charts = String::new();
    for &variance in std::iter::once(&first).chain(kinds.iter().filter(|v| **v != first)) {
        let chart = figures::bits_per_dim(train, test, &rows, variance);
        let chart = beside.figure(&format!("bits-per-dim.{variance}"), &chart)?;
        charts += &match variance == first {
            true => chart,
            false => folded(format_args!("{variance} variance"), &chart),
        };
    }
    Ok((html, charts))
}

/// Schedules scored by running the network along them.
pub(super) fn evaluations(found: &Found, beside: &mut Beside) -> Option<Section> {
    if found.evaluations.is_empty() {
        return None;
    }
    let mut table =
        TextTable::new("file | variance | decoder | K: | images: | bits/dim with prior:");
    for item in &found.evaluations {
        let scored = &item.value;
        let totals = scored.total_bpd.iter().flatten().copied();
        let totals: Vec<f64> = totals.filter(|bpd| bpd.is_finite()).collect();
        table.row([
            item.name.clone(),
            scored.kernel(),
            scored.scored_decoder.to_string(),
            scored.path.len().saturating_sub(1).to_string(),
            totals.len().to_string(),
            or_dash((!totals.is_empty()).then(|| mean_with_error(&totals))),
        ]);
    }
    table.note("± one standard error over images, where there are several.");
    let mut body =
        paragraph("Paths scored directly: the network was run along each of them (ddpm bpd).");
    let mut evaluations = found.evaluations.iter();
    if evaluations.any(|e| e.value.stand_in) {
        body.push_str(&warning("Some of these images STAND IN for real data."));
    }
    let count = found.evaluations.len();
    body += &details(
        format_args!("{count} evaluations"),
        count <= 24,
        &beside.table("evaluations", &table),
    );
    Section::unless_empty("evaluations", "The same without the profiles", body)
}
