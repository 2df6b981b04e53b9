//! Where everything comes from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::found::{Found, Item};
use super::html::{Section, details, folded, pairs_of_words, paragraph, verbatim};
use crate::error::{Located, Result};
use crate::render::TextTable;

pub(super) fn section(found: &Found) -> Result<Section> {
    let mut body = paragraph(&format!(
        "Page written by ddpm {} (ddpm report).",
        env!("CARGO_PKG_VERSION")
    ));
    for item in &found.profiles {
        let value = serde_json::to_value(item.value.provenance()).or_internal()?;
        body += &folded(format_args!("Profile {}", item.name), &fields(&value));
    }
    for (origin, names) in origins(found)? {
        let were = if names.len() == 1 { "was" } else { "were" };
        let summary = format!("What {} {were} chosen on", names.join(", "));
        body += &folded(summary, &fields(&origin));
    }
    for (name, record) in &found.records {
        let record = record.to_json().or_internal()?;
        let record = serde_json::from_str(&record).or_internal()?;
        body += &folded(format_args!("Samples {name}"), &fields(&record));
    }
    if !found.stamps.is_empty() {
        let lines = found
            .stamps
            .iter()
            .map(|item| item.value.command.clone() + "\n");
        let (lines, count) = (verbatim(&lines.collect::<String>()), found.stamps.len());
        body += &details(format_args!("Command lines ({count})"), count <= 16, &lines);
        let stamps = found.stamps.iter();
        let inputs = stamps.flat_map(|item| &item.value.inputs);
        // Each file once, by name.
        let inputs: BTreeMap<&String, &String> = inputs.collect();
        body += &folded("What they read, by SHA-256", &hashes(inputs));
    }
    body += &folded("Files of this page, by SHA-256", &files(found));
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

fn files(found: &Found) -> String {
    fn of<T>(items: &[Item<T>]) -> impl Iterator<Item = (&String, &String)> {
        items.iter().map(|item| (&item.name, &item.sha256))
    }
    hashes(
        of(&found.profiles)
            .chain(of(&found.schedules))
            .chain(of(&found.images))
            .chain(of(&found.evaluations))
            .chain(of(&found.distances))
            .chain(of(found.table5.as_slice())),
    )
}

fn hashes<'a>(rows: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let mut table = TextTable::new("file | SHA-256");
    for (file, hash) in rows {
        table.row([file.clone(), hash.clone()]);
    }
    table.html()
}
