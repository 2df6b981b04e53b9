//! Where everything comes from.

use serde_json::Value;

use super::found::{Found, Item};
use super::parts::{Section, details, pairs_of_words, paragraph};
use crate::error::{Located, Result};
use crate::render::{Align, TextTable, escape};

/// # Errors
/// Internal ones alone.
pub(super) fn section(found: &Found) -> Result<Section> {
    let mut body = paragraph(&format!(
        "Page written by ddpm {} (ddpm report).",
        env!("CARGO_PKG_VERSION")
    ));
    for item in &found.profiles {
        let value = serde_json::to_value(item.value.provenance()).or_internal()?;
        body.push_str(&details(
            &format!("Profile {}", item.name),
            false,
            &fields(&value),
        ));
    }
    for (origin, names) in origins(found)? {
        let were = if names.len() == 1 { "was" } else { "were" };
        body.push_str(&details(
            &format!("What {} {were} chosen on", names.join(", ")),
            false,
            &fields(&origin),
        ));
    }
    for (name, record) in &found.records {
        body.push_str(&details(&format!("Samples {name}"), false, &fields(record)));
    }
    if !found.stamps.is_empty() {
        let lines: String = found
            .stamps
            .iter()
            .filter_map(|item| item.value["command"].as_str())
            .map(|command| escape(command) + "\n")
            .collect();
        body.push_str(&details(
            &format!("Command lines ({})", found.stamps.len()),
            found.stamps.len() <= 16,
            &format!("<pre class=\"wide\" tabindex=\"0\">{lines}</pre>\n"),
        ));
        body.push_str(&details(
            "What they read, by SHA-256",
            false,
            &inputs(found),
        ));
    }
    body.push_str(&details(
        "Files of this page, by SHA-256",
        false,
        &files(found),
    ));
    Ok(Section {
        id: "provenance",
        title: "Where it comes from",
        body,
    })
}

/// What schedules files were chosen on, each origin once, with the names of its files.
fn origins(found: &Found) -> Result<Vec<(Value, Vec<&str>)>> {
    let mut origins: Vec<(Value, Vec<&str>)> = Vec::new();
    for item in &found.schedules {
        let origin = match (&item.value.provenance, &item.value.trajectories) {
            (Some(p), _) => serde_json::to_value(p),
            (None, Some(t)) => serde_json::to_value(t),
            (None, None) => continue,
        }
        .or_internal()?;
        match origins.iter_mut().find(|(known, _)| *known == origin) {
            Some((_, names)) => names.push(&item.name),
            None => origins.push((origin, vec![&item.name])),
        }
    }
    Ok(origins)
}

/// A flat list of the fields of an object.
fn fields(value: &Value) -> String {
    let Some(object) = value.as_object() else {
        return paragraph(&value.to_string());
    };
    pairs_of_words(object.iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (name.as_str(), text)
    }))
}

fn inputs(found: &Found) -> String {
    let mut table = TextTable::new([("file", Align::Left), ("SHA-256", Align::Left)]);
    let mut seen = std::collections::BTreeMap::new();
    for item in &found.stamps {
        let Some(inputs) = item.value["inputs"].as_object() else {
            continue;
        };
        for (path, hash) in inputs {
            seen.insert(path, hash.as_str().unwrap_or("-"));
        }
    }
    for (path, hash) in seen {
        table.row([path.clone(), hash.to_owned()]);
    }
    table.html()
}

fn files(found: &Found) -> String {
    fn rows<'a, T>(items: impl IntoIterator<Item = &'a Item<T>>, table: &mut TextTable)
    where
        T: 'a,
    {
        for item in items {
            table.row([item.name.clone(), item.sha256.clone()]);
        }
    }
    let mut table = TextTable::new([("file", Align::Left), ("SHA-256", Align::Left)]);
    rows(&found.profiles, &mut table);
    rows(&found.schedules, &mut table);
    rows(&found.images, &mut table);
    rows(&found.evaluations, &mut table);
    rows(&found.distances, &mut table);
    rows(&found.table5, &mut table);
    table.html()
}
