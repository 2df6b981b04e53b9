//! Distances between sets of images: FID and the paper's Table 5.

use ddpm_schedule::results::{ImageSet, Neighbours, Weights};
use serde_json::Value;

use super::found::Found;
use super::html::{Section, paragraph, verbatim};
use crate::render::{Align, TextTable, kid_times_1000, or_dash, with_error};

pub(super) fn section(found: &Found) -> Option<Section> {
    let mut body = String::new();
    if let Some(item) = &found.table5 {
        body.push_str(&paragraph(&format!("Table 5 ({})", item.name)));
        body.push_str(&any_table(&item.value));
    }
    if !found.distances.is_empty() {
        body.push_str(&distances(found));
    }
    Section::unless_empty("distances", "Distance of samples from images", body)
}

fn distances(found: &Found) -> String {
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
    table.html()
}

/// Rows of objects as a table, with the columns of all rows; anything else as it is.
fn any_table(value: &Value) -> String {
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
    table.html()
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
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_objects_become_a_table_with_the_columns_of_all() {
        let html = any_table(&json!({"rows": [
            {"stride": "<dp>", "K": 8},
            {"stride": "even", "K": 16, "fid": {"value": 12.5, "stderr": 0.25}},
        ]}));
        assert!(html.contains("<th scope=\"col\">stride</th>"));
        assert!(html.contains("<th scope=\"col\" class=\"n\">fid</th>"));
        assert!(html.contains("<td>&lt;dp&gt;</td><td class=\"n\">8</td><td class=\"n\"></td>"));
        assert!(html.contains("12.500 ± 0.250"), "{html}");
        assert!(any_table(&json!({"a": "<b>"})).contains("&quot;&lt;b&gt;&quot;"));
    }
}
