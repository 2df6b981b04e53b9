//! Grids of samples.

use serde_json::Value;

use super::found::Found;
use super::html::Section;
use crate::render::escape;

pub(super) fn section(found: &Found) -> Option<Section> {
    if found.images.is_empty() {
        return None;
    }
    let body: String = found
        .images
        .iter()
        .map(|item| {
            let how = found
                .records
                .get(&item.name)
                .map_or_else(String::new, describe);
            let image = &item.value;
            format!(
                "<figure class=\"grid\"><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"Samples: {name}\"/><figcaption><b>{name}</b>{}</figcaption></figure>\n",
                image.address(),
                image.width,
                image.height,
                escape(&how),
                name = escape(&item.name),
            )
        })
        .collect();
    Some(Section {
        id: "samples",
        title: "Samples",
        body: format!("<div class=\"grids\">\n{body}</div>\n"),
    })
}

/// A record of `ddpm sample`, in words.
fn describe(record: &Value) -> String {
    let mut words = Vec::new();
    if let Some(path) = record["path"].as_array() {
        words.push(format!("K = {}", path.len().saturating_sub(1)));
    }
    for key in ["sampler", "variance", "eta", "count", "seed", "start_index"] {
        match &record[key] {
            Value::Null => {}
            Value::String(text) => words.push(format!("{key} {text}")),
            other => words.push(format!("{key} {other}")),
        }
    }
    if words.is_empty() {
        return String::new();
    }
    format!(": {}", words.join(", "))
}
