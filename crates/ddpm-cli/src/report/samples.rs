//! Grids of samples: those of the same noise as one matrix, a way of sampling each row and a number of steps each column.

use std::collections::{BTreeMap, BTreeSet};

use ddpm_core::{CoefficientKind, MeanKind};
use ddpm_schedule::SampleRecord;

use super::beside::Beside;
use super::found::{Found, Item};
use super::html::{Image, Section, files};
use super::montage::montage;
use crate::error::Result;
use crate::render::{escape, plural};

/// Pixels between the pictures of a matrix that is a file.
const GAP: usize = 4;

pub(super) fn section(found: &Found, beside: &mut Beside) -> Result<Option<Section>> {
    if found.images.is_empty() {
        return Ok(None);
    }
    let matrices = Matrix::all(found);
    let mut body = String::new();
    for matrix in &matrices {
        body += &matrix.html(beside)?;
    }
    let in_a_matrix = |item: &Item<Image>| matrices.iter().any(|matrix| matrix.holds(item));
    let others: String = found
        .images
        .iter()
        .filter(|item| !in_a_matrix(item))
        .map(|item| {
            let how = found
                .records
                .get(&item.name)
                .map(describe)
                .unwrap_or_default();
            let name = escape(&item.name);
            format!(
                "<figure class=\"grid\">{}<figcaption><b>{name}</b>{}</figcaption></figure>\n",
                picture(item),
                escape(&how),
            )
        })
        .collect();
    if !others.is_empty() {
        body += &format!("<div class=\"grids\">\n{others}</div>\n");
    }
    Ok(Some(Section {
        id: "samples",
        title: "Samples",
        body,
    }))
}

fn picture(item: &Item<Image>) -> String {
    format!(
        "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"Samples: {}\"/>",
        item.value.address(),
        item.value.width,
        item.value.height,
        escape(&item.name),
    )
}

/// What the pictures of a matrix share: the folder, the network, and which noise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Noise {
    folder: String,
    network: String,
    shape: Vec<usize>,
    seed: u64,
    start_index: usize,
    count: usize,
    class: Option<usize>,
    size: [u32; 2],
}

/// A way of sampling: the picture and its record of every number of steps.
type Row<'a> = BTreeMap<usize, (&'a Item<Image>, &'a SampleRecord)>;

struct Matrix<'a> {
    noise: Noise,
    steps: BTreeSet<usize>,
    /// By the name of the pictures without their number of steps, and how they were made.
    rows: BTreeMap<(&'a str, String), Row<'a>>,
}

impl<'a> Matrix<'a> {
    /// Every set of pictures `WAY.K.png` from the same noise with two ways and two numbers of steps or more.
    fn all(found: &'a Found) -> Vec<Self> {
        let mut all: BTreeMap<Noise, BTreeMap<(&str, String), Row<'_>>> = BTreeMap::new();
        for item in &found.images {
            let Some(record) = found.records.get(&item.name) else {
                continue;
            };
            let (folder, name) = item.name.rsplit_once('/').unwrap_or(("", &item.name));
            let ending = format!(".{}.png", record.path.steps());
            let Some(way) = name.strip_suffix(&ending) else {
                continue;
            };
            let noise = Noise {
                folder: folder.to_owned(),
                network: record.model.network.to_string(),
                shape: record.model.shape.clone(),
                seed: record.seed,
                start_index: record.start_index,
                count: record.count,
                class: record.class,
                size: [item.value.width, item.value.height],
            };
            let way = (way, how(record).join(", "));
            let row = all.entry(noise).or_default().entry(way).or_default();
            row.insert(record.path.steps(), (item, record));
        }
        let matrix = |(noise, rows): (Noise, BTreeMap<(&'a str, String), Row<'a>>)| Self {
            steps: rows.values().flat_map(|row| row.keys().copied()).collect(),
            noise,
            rows,
        };
        let is_one = |matrix: &Self| matrix.rows.len() > 1 && matrix.steps.len() > 1;
        all.into_iter().map(matrix).filter(is_one).collect()
    }

    fn holds(&self, item: &Item<Image>) -> bool {
        let mut pictures = self.rows.values().flat_map(BTreeMap::values);
        pictures.any(|(own, _)| own.name == item.name)
    }

    fn html(&self, beside: &mut Beside) -> Result<String> {
        let columns = self.steps.len();
        let head: String = self
            .steps
            .iter()
            .map(|steps| format!("<th scope=\"col\">K = {steps}</th>"))
            .collect();
        let mut rows = String::new();
        for ((way, how), row) in &self.rows {
            rows += &format!(
                "<tbody>\n<tr><th scope=\"rowgroup\" colspan=\"{columns}\">{} <span>{}</span></th></tr>\n<tr>",
                escape(way),
                escape(how)
            );
            for steps in &self.steps {
                let cell = row.get(steps).map(|(item, _)| picture(item));
                rows += &format!("<td>{}</td>", cell.unwrap_or_default());
            }
            rows += "</tr>\n</tbody>\n";
        }
        let Noise {
            seed,
            start_index,
            count,
            class,
            ..
        } = self.noise;
        let of = class.map(|class| format!(" of class {class}"));
        let caption = format!(
            "Every picture is of the same noise: {}{}, seed {seed}, from number {start_index} on. In a row the way of sampling is the same, in a column the number of steps.",
            plural(count as u64, "sample"),
            of.unwrap_or_default(),
        );
        let pictures = self.rows.values().map(|row| {
            let of = |steps| row.get(steps).map(|(item, _)| item.value.bytes());
            self.steps.iter().map(of).collect::<Vec<_>>()
        });
        let file = match montage(&pictures.collect::<Vec<_>>(), GAP)? {
            None => String::new(),
            Some(bytes) => {
                let name = beside.picture("samples", bytes);
                files(beside.name(), &[("PNG", name)])
            }
        };
        Ok(format!(
            "<figure class=\"matrix\"><table><thead><tr>{head}</tr></thead>\n{rows}</table><figcaption>{} {file}</figcaption></figure>\n",
            escape(&caption)
        ))
    }
}

/// A record of `ddpm sample`, in words.
fn describe(record: &SampleRecord) -> String {
    let mut words = vec![format!("K = {}", record.path.steps())];
    words.extend(how(record));
    words.push(format!("count {}", record.count));
    words.push(format!("seed {}", record.seed));
    words.push(format!("start_index {}", record.start_index));
    format!(": {}", words.join(", "))
}

/// What of a record is the way of sampling.
fn how(record: &SampleRecord) -> Vec<String> {
    let mut words = vec![format!("sampler {}", record.sampler)];
    words.extend(record.variance.map(|kind| format!("variance {kind}")));
    if record.mean != MeanKind::Network {
        words.push(format!("mean {}", record.mean));
    }
    if record.coefficients != CoefficientKind::Solver {
        words.push(format!("coefficients {}", record.coefficients));
    }
    words.extend(record.eta.map(|eta| format!("eta {eta:?}")));
    let clip = record.clip_last_noise;
    words.extend(clip.map(|levels| format!("last noise below {levels:?} levels")));
    words
}
