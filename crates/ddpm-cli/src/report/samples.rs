//! Grids of samples.

use ddpm_schedule::SampleRecord;

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
            let how = found.records.get(&item.name).map(describe).unwrap_or_default();
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
fn describe(record: &SampleRecord) -> String {
    let mut words = vec![
        format!("K = {}", record.path.steps()),
        format!("sampler {}", record.sampler),
    ];
    words.extend(record.variance.map(|kind| format!("variance {kind}")));
    words.extend(record.eta.map(|eta| format!("eta {eta:?}")));
    words.push(format!("count {}", record.count));
    words.push(format!("seed {}", record.seed));
    words.push(format!("start_index {}", record.start_index));
    format!(": {}", words.join(", "))
}
