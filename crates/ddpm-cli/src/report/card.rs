//! The card that a page opens with: the paper's claim and what was found, in five lines.

use ddpm_profile::headline;
use ddpm_schedule::results;

use super::beside::Beside;
use super::html::{Section, card, note, paragraph, warning};
use super::profile_pairs::Pair;
use crate::error::{Located, Result};

/// The cards of a page.
#[derive(Default)]
pub(super) struct Cards {
    pub(super) section: Option<Section>,
    /// The lines of the first, for a terminal.
    pub(super) lines: String,
    /// What kept a pair of profiles from having one.
    pub(super) problems: Vec<String>,
}

/// A card per pair of profiles; the first is written beside the page.
pub(super) fn section(pairs: &[Pair<'_>], page: &str, beside: &mut Beside) -> Result<Cards> {
    let (mut cards, mut body) = (Cards::default(), String::new());
    let page = format!(
        "{page}; figures (SVG, PNG) and tables (CSV, LaTeX) in {}/",
        beside.name()
    );
    for pair in pairs {
        let names = format!("{} + {}", pair.train.name, pair.test.name);
        let found = match headline(&pair.train.value, &pair.test.value) {
            Ok(found) => found,
            Err(error) => {
                cards.problems.push(format!("the card of {names}: {error}"));
                continue;
            }
        };
        let lines = found.lines(&page);
        if pairs.len() > 1 {
            body += &paragraph(&names);
        }
        let [train, test] = [pair.train, pair.test].map(|item| item.value.provenance());
        if train.data_sha256 == test.data_sha256 {
            body += &warning(
                "Both profiles are of the same images: what optimal steps lose is biased low.",
            );
        }
        body += &card(&lines);
        if cards.lines.is_empty() {
            cards.lines = lines.join("\n") + "\n";
            let document = results::document(&found).or_internal()?;
            let text = serde_json::to_string_pretty(&document).or_internal()?;
            beside.add("card.json", text + "\n");
            beside.add("card.txt", cards.lines.clone());
        }
    }
    if !body.is_empty() {
        body += &note(
            "± one standard error over blocks of the scored images; differences are paired. Chosen on train images, scored on test images.",
        );
    }
    cards.section = Section::unless_empty("card", "What was found", body);
    Ok(cards)
}
