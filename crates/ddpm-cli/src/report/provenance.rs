//! Where everything comes from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::found::{Found, Item};
use super::html::{Section, details, pairs_of_words, paragraph, verbatim};
use crate::error::{Located, Result};
use crate::render::TextTable;

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
        let record = record.to_json().or_internal()?;
        let record = serde_json::from_str(&record).or_internal()?;
        body.push_str(&details(
            &format!("Samples {name}"),
            false,
            &fields(&record),
        ));
    }
    if !found.stamps.is_empty() {
        let lines: String = found
            .stamps
            .iter()
            .map(|item| item.value.command.clone() + "\n")
            .collect();
        body.push_str(&details(
            &format!("Command lines ({})", found.stamps.len()),
            found.stamps.len() <= 16,
            &verbatim(&lines),
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
    let inputs = found
        .stamps
        .iter()
        .flat_map(|item| &item.value.inputs)
        .map(|(path, hash)| (path.as_str(), hash.as_str()));
    // Each file once, by name.
    hashes(inputs.collect::<BTreeMap<_, _>>())
}

fn files(found: &Found) -> String {
    fn of<'a, T: 'a>(
        items: impl IntoIterator<Item = &'a Item<T>>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        items
            .into_iter()
            .map(|item| (item.name.as_str(), item.sha256.as_str()))
    }
    hashes(
        of(&found.profiles)
            .chain(of(&found.schedules))
            .chain(of(&found.images))
            .chain(of(&found.evaluations))
            .chain(of(&found.distances))
            .chain(of(&found.table5)),
    )
}

fn hashes<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut table = TextTable::new("file | SHA-256");
    for (file, hash) in rows {
        table.row([file.to_owned(), hash.to_owned()]);
    }
    table.html()
}
