//! Distances between sets of images: FID and the paper's Table 5.

use ddpm_schedule::results::{
    ImageSet, Measured, Neighbours, RULE_OF_LOWEST, Weights, lowest, stride_in_words,
};
use serde::Deserialize;
use serde_json::Value;

use super::beside::Beside;
use super::found::Found;
use super::html::{Section, details, paragraph, verbatim};
use crate::render::{Align, TextTable, kid_times_1000, or_dash, with_error};

pub(super) fn section(found: &Found, beside: &mut Beside) -> Option<Section> {
    let mut body = String::new();
    if let Some(item) = &found.table5 {
        body.push_str(&paragraph(&format!("Table 5 ({})", item.name)));
        body.push_str(&table5(&item.value, beside));
    }
    if !found.distances.is_empty() {
        body.push_str(&distances(found, beside));
    }
    Section::unless_empty("distances", "Distance of samples from images", body)
}

fn distances(found: &Found, beside: &mut Beside) -> String {
    let mut table = TextTable::new(
        "file | images | against | measure | distance: | KID x 1000: | precision: | recall:",
    );
    for item in &found.distances {
        let fid = &item.value;
        let side = |set: &ImageSet| {
            let images = or_dash(set.images.map(|n| n.to_string()));
            format!("{images} of {}", set.source)
        };
        let near = |of: fn(&Neighbours) -> f64| {
            or_dash(fid.neighbours.as_ref().map(|n| format!("{:.3}", of(n))))
        };
        let assumed = if fid.weights == Some(Weights::Assumed) {
            " (weights assumed)"
        } else {
            ""
        };
        table.row([
            item.name.clone(),
            side(&fid.first.a),
            side(&fid.b),
            format!("{}{assumed}", fid.metric),
            with_error(fid.frechet.value, fid.frechet.standard_error),
            or_dash(fid.kid.as_ref().map(kid_times_1000)),
            near(|found| found.precision),
            near(|found| found.recall),
        ]);
    }
    table.note("± one standard error. A Frechet distance is biased upwards by the number of images: only equal numbers compare.");
    let count = found.distances.len();
    let table = beside.table("distances", &table);
    details(format_args!("{count} distances"), count <= 8, &table)
}

/// Distances of schedules by sampler, stride and K, in our words; another table as it is.
fn table5(value: &Value, beside: &mut Beside) -> String {
    let rows: Option<Vec<Row>> = serde_json::from_value(value["rows"].clone()).ok();
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
        return any_table(value, beside);
    };
    let text = |key: &str, otherwise: &str| value[key].as_str().unwrap_or(otherwise).to_owned();
    let mut steps: Vec<u64> = rows.iter().map(|row| row.steps).collect();
    steps.sort_unstable();
    steps.dedup();
    let heads: String = steps.iter().map(|k| format!(" | K={k}:")).collect();
    let mut table = TextTable::new(&format!("sampler | stride{heads}")).title(format!(
        "{} of {} samples of each schedule",
        text("metric", "distance"),
        or_dash(value["images"].as_u64().map(|n| n.to_string()))
    ));
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for row in &rows {
        let line = (row.sampler.as_str(), row.stride.as_str());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    for (i, &(sampler, stride)) in lines.iter().enumerate() {
        if i > 0 && lines[i - 1].0 != sampler {
            table.gap();
        }
        let mut cells = vec![sampler.to_owned(), stride_in_words(stride).to_owned()];
        let mut bold = vec![false; 2];
        for &k in &steps {
            let column: Vec<&Row> = rows
                .iter()
                .filter(|r| r.sampler == sampler && r.steps == k)
                .collect();
            let distances: Vec<Measured> = column.iter().map(|row| row.measured()).collect();
            let at = column.iter().position(|row| row.stride == stride);
            bold.push(at.is_some_and(|at| lowest(&distances)[at]));
            cells.push(or_dash(
                at.map(|at| with_error(column[at].distance, column[at].stderr)),
            ));
        }
        table.row(cells);
        table.bold(bold);
    }
    table.note("± one standard error.");
    table.note(RULE_OF_LOWEST);
    beside.table("table5", &table)
}

/// A distance of the reproduction's table.
#[derive(Deserialize)]
struct Row {
    sampler: String,
    stride: String,
    steps: u64,
    distance: f64,
    stderr: Option<f64>,
}

impl Row {
    fn measured(&self) -> Measured {
        Measured {
            value: self.distance,
            standard_error: self.stderr,
        }
    }
}

/// Rows of objects as a table, with the columns of all rows; anything else as it is.
fn any_table(value: &Value, beside: &mut Beside) -> String {
    let rows = value["rows"].as_array().or(value.as_array());
    let objects: Option<Vec<_>> = rows
        .filter(|rows| !rows.is_empty())
        .and_then(|rows| rows.iter().map(Value::as_object).collect());
    let Some(objects) = objects else {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        return verbatim(&text);
    };
    let mut keys: Vec<&str> = Vec::new();
    for key in objects.iter().flat_map(|object| object.keys()) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let align = |key: &&str| {
        let text = |o: &&serde_json::Map<String, Value>| o.get(*key).is_some_and(Value::is_string);
        if objects.iter().any(text) {
            Align::Left
        } else {
            Align::Right
        }
    };
    let mut table = TextTable::of_columns(keys.iter().map(|key| (*key, align(key))));
    for object in &objects {
        table.row(
            keys.iter()
                .map(|key| object.get(*key).map_or_else(String::new, cell)),
        );
    }
    beside.table("table5", &table)
}

/// One value in few characters.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => with_error(float, None),
            _ => number.to_string(),
        },
        Value::Object(of) if of.get("value").is_some_and(Value::is_number) => with_error(
            of["value"].as_f64().unwrap_or(f64::NAN),
            of.get("stderr").and_then(Value::as_f64),
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn distances_stand_by_k_with_the_lowest_bold() {
        let row = |stride: &str, steps: u64, distance: f64| json!({"sampler": "ddim", "stride": stride, "steps": steps, "distance": distance, "stderr": 0.5});
        let table = json!({"metric": "FID", "images": 8, "rows": [
            row("even", 5, 9.0), row("even", 10, 5.0), row("dp-elbo", 5, 6.0), row("dp-elbo", 10, 4.5),
        ]});
        let mut beside = Beside::page(Path::new("r.html"));
        let html = table5(&table, &mut beside);
        for cells in [
            "<td>even</td><td class=\"n\">9.000 ± 0.500</td><td class=\"n\"><b>5.000 ± 0.500</b></td>",
            "<td>optimal for the ELBO</td><td class=\"n\"><b>6.000 ± 0.500</b></td>",
        ] {
            assert!(html.contains(cells), "{html}");
        }
        assert!(beside.has("table5.csv") && beside.has("table5.tex"));
    }

    #[test]
    fn rows_of_objects_become_a_table_with_the_columns_of_all() {
        let mut beside = Beside::page(Path::new("r.html"));
        let mut any_table = |value: Value| table5(&value, &mut beside);
        let html = any_table(json!({"rows": [
            {"stride": "<dp>", "K": 8},
            {"stride": "even", "K": 16, "fid": {"value": 12.5, "stderr": 0.25}},
        ]}));
        assert!(html.contains("<th scope=\"col\">stride</th>"));
        assert!(html.contains("<th scope=\"col\" class=\"n\">fid</th>"));
        assert!(html.contains("<td>&lt;dp&gt;</td><td class=\"n\">8</td><td class=\"n\"></td>"));
        assert!(html.contains("12.500 ± 0.250"), "{html}");
        assert!(any_table(json!({"a": "<b>"})).contains("&quot;&lt;b&gt;&quot;"));
    }
}
