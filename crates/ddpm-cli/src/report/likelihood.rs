//! Table 3 and bits/dim against K.

use ddpm_core::{DecoderKind, StartRule, VarianceKind};
use ddpm_profile::{Curves, table3};
use ddpm_schedule::Budgets;

use super::found::Found;
use super::html::{Section, details, figure, paragraph, warning};
use super::profile_pairs::Pair;
use crate::commands::table::{tables, variances};
use crate::error::Located;
use crate::output::Voice;
use crate::plot::figures;
use crate::render::{TextTable, mean_with_error};

/// The table, the figure, and what keeps a pair of profiles from having them.
pub(super) struct Likelihood {
    pub(super) table: Option<Section>,
    pub(super) figure: Option<Section>,
    pub(super) problems: Vec<String>,
}

pub(super) fn sections(pairs: &[Pair<'_>], voice: Voice) -> Likelihood {
    let (mut table, mut charts, mut problems) = (String::new(), String::new(), Vec::new());
    for pair in pairs {
        let names = format!("{} + {}", pair.train.name, pair.test.name);
        match one(pair) {
            Ok((tables, figures)) => {
                if pair.train.value.provenance().data_sha256
                    == pair.test.value.provenance().data_sha256
                {
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
    let section =
        |id, title, body: String| (!body.is_empty()).then_some(Section { id, title, body });
    Likelihood {
        table: section("table", "Bits/dim of every stride (Table 3)", table),
        figure: section(
            "bits-per-dim",
            "Bits/dim against the number of steps",
            charts,
        ),
        problems,
    }
}

fn one(pair: &Pair<'_>) -> crate::error::Result<(String, String)> {
    let (train, test) = (&pair.train.value, &pair.test.value);
    let train_steps = train.schedule().train_steps();
    let steps = Budgets::of_the_paper(train_steps)
        .wanted(train_steps)
        .or_internal()?;
    let kinds = variances(train, test);
    let curves = Curves::from_profile(train).in_file(&pair.train.path)?;
    // Squared errors know nothing of discretised pixels.
    let decoder = (!curves.has_decoder()).then_some(DecoderKind::Gaussian);
    let rows =
        table3(train, test, &steps, &kinds, decoder, StartRule::Free).in_file(&pair.test.path)?;
    let html: String = tables(train, test, &rows, &steps, &kinds)
        .iter()
        .map(TextTable::html)
        .collect();
    let first = VarianceKind::of_network(curves.learned());
    let charts = kinds
        .iter()
        .map(|&variance| {
            let chart = figures::bits_per_dim(train, test, &rows, variance);
            details(
                &format!("{variance} variance"),
                variance == first,
                &figure(&chart),
            )
        })
        .collect();
    Ok((html, charts))
}

/// Schedules scored by running the network along them.
pub(super) fn evaluations(found: &Found) -> Option<Section> {
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
            scored.variance.to_string(),
            scored.scored_decoder.to_string(),
            scored.path.len().saturating_sub(1).to_string(),
            totals.len().to_string(),
            if totals.is_empty() {
                "-".to_owned()
            } else {
                mean_with_error(&totals)
            },
        ]);
    }
    table.note("± one standard error over images, where there are several.");
    let mut evaluations = found.evaluations.iter();
    let stand_in = if evaluations.any(|e| e.value.stand_in) {
        warning("Some of these images STAND IN for real data.")
    } else {
        String::new()
    };
    Some(Section {
        id: "evaluations",
        title: "The same without the profiles",
        body: paragraph(
            "Paths scored directly: the network was run along each of them (ddpm bpd).",
        ) + &stand_in
            + &details(
                &format!("{} evaluations", found.evaluations.len()),
                found.evaluations.len() <= 24,
                &table.html(),
            ),
    })
}
