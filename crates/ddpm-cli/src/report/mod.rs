//! The report: what lies in a folder of results, as one HTML page that needs nothing else.
//!
//! `found` knows files by their contents, one file per section turns them into HTML, [`Page`] puts the sections together. Every text
//! that comes from a file goes through `escape`. The same folder gives the same bytes: there is no date in a page. `beside` keeps its
//! figures and tables as files of their own.

mod beside;
mod card;
mod distances;
mod found;
mod html;
mod likelihood;
mod lists;
mod measured;
mod montage;
mod profile_pairs;
mod provenance;
mod samples;
mod schedules;

use std::path::Path;

use beside::Beside;
use ddpm_schedule::results;
use found::{Found, names};
use html::Section;
use profile_pairs::pairs;

use crate::args::Report;
use crate::error::{Error, Result};
use crate::input::write_unless_in_the_way;
use crate::output::{self, Voice};
use crate::render::escape;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The end of every page's title, by which it is known again.
const TITLE_ENDS: &str = " - ddpm report</title>";

/// Runs `ddpm report`.
pub(crate) fn run(args: &Report, voice: Voice) -> Result<()> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => args.folder.join("report.html"),
    };
    if out.is_dir() {
        return Err(Error::usage(format!(
            "--out {}: is a folder; expected the name of a file",
            out.display()
        )));
    }
    let found = Found::in_folder(&args.folder, voice)?;
    let mut beside = Beside::page(&out);
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let page = Page::of(&found, &name, &mut beside, voice)?;
    let is_page = is_page_of(&args.folder, &out);
    let is_html = out
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("html"));
    if !is_html && out.is_file() && lies_below(&args.folder, &out) {
        return Err(Error::flag(
            "--out",
            format!(
                "{} is read by this very command; expected another place",
                out.display()
            ),
        ));
    }
    let force = args.existing.force || is_page;
    beside.check(args.existing.force)?;
    // Its files only lie where their page does.
    write_unless_in_the_way(&out, page.html().as_bytes(), force)?;
    beside.write()?;
    if args.json {
        return output::print_json(&page.result(&found, &out));
    }
    let mut text = format!("{}: {}\n", out.display(), found.summary());
    text += &page.card;
    for missing in &page.missing {
        text += &format!("left out: {missing}\n");
    }
    output::print_text(&text)
}

/// Whether there is a page in the folder that it shows, which is made anew from whatever is there.
fn is_page_of(folder: &Path, out: &Path) -> bool {
    lies_below(folder, out)
        && std::fs::read_to_string(out).is_ok_and(|page| page.contains(TITLE_ENDS))
}

fn lies_below(folder: &Path, out: &Path) -> bool {
    match (folder.canonicalize(), out.canonicalize()) {
        (Ok(folder), Ok(out)) => out.starts_with(folder),
        _ => false,
    }
}

/// A page to write.
struct Page {
    title: String,
    summary: String,
    /// In lines for a terminal; empty without profiles of train and test images.
    card: String,
    sections: Vec<Section>,
    /// What the page does not show, and what that would need.
    missing: Vec<String>,
}

impl Page {
    /// Everything that can be said about a folder.
    fn of(found: &Found, name: &str, beside: &mut Beside, voice: Voice) -> Result<Self> {
        let pairs = pairs(found);
        let sheets = schedules::sheets(found, &pairs)?;
        let likelihood = likelihood::sections(&pairs, beside, voice);
        let mut missing = likelihood.problems;
        let card = card::section(&pairs, name, beside)?;
        missing.extend(card.problems);
        if pairs.is_empty() {
            missing.push("Table 3 and bits/dim against K: they need profiles of train and of test images of one network (ddpm profile --split train, --split test)".to_owned());
        }
        let mut sections = Vec::new();
        let mut add = |section: Option<Section>, otherwise: &str| match section {
            Some(section) => sections.push(section),
            None if otherwise.is_empty() => {}
            None => missing.push(otherwise.to_owned()),
        };
        // What was found first; how it was measured and where it comes from last.
        add(card.section, "");
        add(likelihood.figure, "");
        add(likelihood.table, "");
        add(
            schedules::timesteps(&sheets, beside)?,
            "timesteps and lists: they need a schedules file (ddpm schedule --out)",
        );
        add(
            schedules::terms(&sheets, beside)?,
            "the cost of each step: it needs schedules and a profile of the same network",
        );
        add(measured::errors(found, beside)?, "");
        add(
            samples::section(found, beside)?,
            "samples: they need a PNG grid (ddpm sample --out F.png)",
        );
        add(
            distances::section(found, beside),
            "distances from images: they need a printed FID (ddpm fid --json > fid.json) or a table5.json",
        );
        add(likelihood::evaluations(found, beside), "");
        add(lists::section(&sheets), "");
        add(
            measured::section(found, beside),
            "what was measured: it needs a profile (ddpm profile --out)",
        );
        sections.push(provenance::section(found)?);
        Ok(Self {
            title: found.title(),
            summary: found.summary(),
            card: card.lines,
            sections,
            missing,
        })
    }

    /// What was found, for another program, and the page that was made of it.
    fn result(&self, found: &Found, out: &Path) -> results::Report {
        let profiles = found.profiles.iter().map(|item| {
            let p = item.value.provenance();
            results::ReportedProfile {
                file: item.name.clone(),
                file_sha256: item.sha256.clone(),
                data_name: p.data_name.clone(),
                split: p.split.clone(),
                stand_in: p.stand_in,
                images: item.value.images(),
                timesteps: item.value.layout().timesteps().len(),
                complete: item.value.is_complete(),
            }
        });
        let schedules = found.schedules.iter().map(|item| {
            let s = &item.value;
            results::ReportedSchedules {
                file: item.name.clone(),
                file_sha256: item.sha256.clone(),
                variance: s.scoring.variance,
                mean: s.scoring.mean,
                decoder: s.scoring.decoder,
                objective: s.scoring.objective,
                start: s.scoring.start,
                steps: s.budgets.iter().map(|b| b.steps()).collect(),
            }
        });
        let images = found.images.iter().map(|item| results::ReportedImage {
            file: item.name.clone(),
            width: item.value.width,
            height: item.value.height,
            record: found.records.contains_key(&item.name),
        });
        results::Report {
            folder: found.folder.display().to_string(),
            profiles: profiles.collect(),
            schedules: schedules.collect(),
            images: images.collect(),
            evaluations: names(&found.evaluations),
            distances: names(&found.distances),
            table5: found.table5.as_ref().map(|item| item.name.clone()),
            commands: found.stamps.len(),
            left_out: found.left_out.clone(),
            out: out.display().to_string(),
            sections: self.sections.iter().map(|s| s.id.to_owned()).collect(),
            missing: self.missing.clone(),
        }
    }

    /// The page, which is well-formed XML too.
    fn html(&self) -> String {
        let (mut links, mut sections) = (String::new(), String::new());
        for Section { id, title, body } in &self.sections {
            let title = escape(title);
            links += &format!("<a href=\"#{id}\">{title}</a>\n");
            sections += &format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n");
        }
        let missing: String = self
            .missing
            .iter()
            .map(|line| format!("<li>{}</li>\n", escape(line)))
            .collect();
        let missing = if missing.is_empty() {
            missing
        } else {
            format!("<aside><p>Not in this folder:</p>\n<ul>\n{missing}</ul></aside>\n")
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\"/>\n<link rel=\"icon\" href=\"data:,\"/>\n<title>{title}{TITLE_ENDS}\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p>Optimal inference schedules (ddpm report): {summary}.</p>\n</header>\n<nav aria-label=\"Sections\">\n{links}</nav>\n<main>\n{sections}{missing}</main>\n<p id=\"said\" role=\"status\"></p>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            title = escape(&self.title),
            summary = escape(&self.summary),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::COLOURS;

    #[test]
    fn every_colour_of_a_figure_has_one_for_dark_screens() {
        for colour in COLOURS.iter().chain(&["#000", "#fff", "#ddd", "#444"]) {
            assert!(
                STYLE.contains(&format!("=\"{colour}\"]")),
                "{colour} is not in page.css"
            );
        }
    }

    #[test]
    fn style_and_script_are_text_of_xml_too() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains(['<', '&']));
        }
    }
}
