//! `ddpm table --path`: what given paths cost beside the optimal ones of as many steps, from profiles alone.

use ddpm_core::TimePath;
use ddpm_profile::score_paths;
use ddpm_schedule::results::TableRow;

use super::table::{Pair, notes, refuse_no_decoder, result, variances_of};
use crate::args::Table;
use crate::error::{Advice, Error, Result};
use crate::input::parse_path;
use crate::output::{self, Voice};
use crate::render::{Indices, TextTable, images_of, mark_of_decoder, or_dash, shorten, with_error};

/// Runs the command.
pub(crate) fn run(args: &Table, voice: Voice) -> Result<()> {
    let test = args.test.as_ref().unwrap_or(&args.train);
    let pair = Pair::read([&args.train, test], None, voice)?;
    let schedule = pair.train.schedule();
    let paths: Vec<TimePath> = args
        .path
        .iter()
        .map(|text| parse_path(text, schedule, args.zero_based))
        .collect::<Result<_>>()?;
    let variances = variances_of(args, &pair, voice)?;
    refuse_no_decoder(args.decoder)?;
    let (train, test) = (&pair.train, &pair.test);
    let rows = score_paths(train, test, &paths, &variances, args.mean, args.decoder)
        .map_err(|error| Error::Input(format!("{}: {error}", pair.names)))
        .advised(pair.advice())?;
    let indices = Indices::from_flag(args.zero_based);
    if args.json {
        return output::print_json(&result(train, test, rows, indices));
    }
    output::print_text(&table(&pair, &args.path, &rows, indices).to_string())
}

fn table(pair: &Pair, names: &[String], rows: &[TableRow], indices: Indices) -> TextTable {
    let mut text = TextTable::new(
        "variance | decoder | path | K: | bits/dim with prior: | minus optimal: | timesteps",
    )
    .title(format!("Given paths, scored on {}", images_of(&pair.test)))
    .title(format!(
        "Optimal paths, measured variances and means, and optimal decoders chosen on {}",
        images_of(&pair.train)
    ));
    // Every path has a row and its optimal one's, variance after variance.
    for (i, row) in rows.iter().enumerate() {
        let of_path = (i / 2) % names.len();
        if i > 0 && of_path == 0 && i % 2 == 0 {
            text.gap();
        }
        let given = row.stride == "path";
        let minus = row
            .dp_minus_this
            .map(|d| with_error(0.0 - d.bpd, Some(d.standard_error)));
        let name = if given {
            names[of_path].as_str()
        } else {
            "optimal"
        };
        text.row([
            row.kernel(),
            row.decoder.to_string(),
            name.to_owned(),
            row.steps.to_string(),
            with_error(row.bpd, Some(row.standard_error))
                + mark_of_decoder(row.scored_decoder == row.decoder),
            or_dash(minus),
            shorten(&indices.show_path(&row.path)),
        ]);
    }
    notes(&mut text, &pair.test, rows);
    text
}
