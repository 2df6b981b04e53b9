//! The discovered timesteps and what each step costs.

use std::borrow::Cow;

use ddpm_core::{Objective, StartRule};
use ddpm_profile::{Curves, ElboProfile, choose_on};
use ddpm_schedule::{Budgets, Chosen, GaussianDecoder, Schedules};

use super::beside::Beside;
use super::found::{Found, Item};
use super::html::{Section, details, paragraph};
use super::profile_pairs::Pair;
use crate::error::{Located, Result};
use crate::plot::figures;
use crate::render::{clip, note_on_density_of};

/// Beyond so many budgets, powers of two stand for all.
const BUDGETS: usize = 24;
/// Curves that still can be told apart.
const CURVES: usize = 6;

/// Schedules of one file, or chosen for the report.
pub(super) struct Sheet<'a> {
    /// The file, or what was done instead.
    pub(super) name: String,
    pub(super) schedules: Cow<'a, Schedules>,
    /// A profile of the network that the schedules are for.
    profile: Option<&'a Item<ElboProfile>>,
}

/// The schedules of the folder; where there are none, those that follow from its profiles.
pub(super) fn sheets<'a>(found: &'a Found, pairs: &[Pair<'a>]) -> Result<Vec<Sheet<'a>>> {
    let mut sheets: Vec<Sheet<'a>> = found
        .schedules
        .iter()
        .map(|item| Sheet {
            name: item.name.clone(),
            schedules: Cow::Borrowed(&item.value),
            profile: profile_of(found, &item.value),
        })
        .collect();
    if sheets.is_empty() {
        // One per network; else that of the one part that there is.
        let one = if pairs.is_empty() {
            found.profiles.first()
        } else {
            None
        };
        for item in pairs.iter().map(|pair| pair.train).chain(one) {
            sheets.push(Sheet {
                name: format!("chosen for this page on {}", item.name),
                schedules: Cow::Owned(chosen(item)?),
                profile: Some(item),
            });
        }
    }
    sheets.sort_by_key(|sheet| {
        let s = &sheet.schedules.scoring;
        (s.variance, s.start != StartRule::Full, sheet.name.clone())
    });
    Ok(sheets)
}

/// The profile that schedules were chosen on, or else another of its network.
fn profile_of<'a>(found: &'a Found, schedules: &Schedules) -> Option<&'a Item<ElboProfile>> {
    let wanted = schedules.provenance.as_ref()?;
    let same = |item: &&Item<ElboProfile>| item.value.provenance() == wanted;
    let network = |item: &&Item<ElboProfile>| {
        let p = item.value.provenance();
        p.model.network == wanted.model.network
            && p.model.clip_denoised == wanted.model.clip_denoised
            && p.model.train_steps == wanted.model.train_steps
    };
    let profiles = &found.profiles;
    profiles
        .iter()
        .find(same)
        .or_else(|| profiles.iter().find(network))
}

fn chosen(item: &Item<ElboProfile>) -> Result<Schedules> {
    let profile = &item.value;
    let scoring = Curves::from_profile(profile)
        .in_file(&item.path)?
        .scoring(None, None, None);
    let budgets = Budgets::of_the_paper(profile.schedule().train_steps());
    choose_on(profile, &scoring, &budgets).in_file(&item.path)
}

impl Sheet<'_> {
    /// What the schedules are for, on one line.
    pub(super) fn title(&self) -> String {
        let s = &self.schedules;
        let sampler = s
            .sampler
            .map_or(String::new(), |name| format!(" for {name}"));
        format!(
            "{}{sampler}: {}, {} decoder, start {}, {} ({})",
            s.scoring.objective,
            s.scoring.kernel(),
            s.scoring.decoder,
            s.scoring.start,
            clip(s.clip_denoised),
            self.name
        )
    }

    /// A name for a figure of it.
    fn file(&self, figure: &str) -> String {
        let name = self.name.replace("chosen for this page on ", "chosen-on-");
        format!("{figure}.{}", name.trim_end_matches(".json"))
    }

    /// Budgets to show, and how many are not shown.
    pub(super) fn shown(&self) -> (Vec<&Chosen>, usize) {
        let all = &self.schedules.budgets;
        let shown: Vec<&Chosen> = all
            .iter()
            .filter(|b| all.len() <= BUDGETS || b.steps().is_power_of_two())
            .collect();
        let hidden = all.len() - shown.len();
        (shown, hidden)
    }
}

/// The paper's Fig. 6.
pub(super) fn timesteps(sheets: &[Sheet<'_>], beside: &mut Beside) -> Result<Option<Section>> {
    let mut body = String::new();
    for sheet in sheets {
        let chart = figures::timesteps(&sheet.schedules, &sheet.shown().0);
        let chart = beside.figure(&sheet.file("timesteps"), &chart)?;
        body += &details(sheet.title(), body.is_empty(), &chart);
    }
    if body.is_empty() {
        return Ok(None);
    }
    if let Some(note) = sheets
        .iter()
        .find_map(|sheet| note_on_density_of(&sheet.schedules))
    {
        body += &paragraph(&note);
    }
    let body = paragraph(
        "Where the best schedule of each length spends its steps: one row per K, one stroke per call of the network (the paper's Fig. 6).",
    ) + &body;
    Ok(Section::unless_empty(
        "timesteps",
        "The discovered timesteps",
        body,
    ))
}

/// The cost of each step.
pub(super) fn terms(sheets: &[Sheet<'_>], beside: &mut Beside) -> Result<Option<Section>> {
    let mut body = String::new();
    for sheet in sheets {
        let known = sheet.schedules.scoring.objective == Objective::Elbo;
        let (Some(item), true) = (sheet.profile, known) else {
            continue;
        };
        let mut budgets = sheet.shown().0;
        budgets.truncate(CURVES);
        let profile = (item.path.as_path(), &item.value);
        let chart = figures::terms(
            &sheet.schedules,
            &budgets,
            profile,
            GaussianDecoder::default(),
        )?;
        let summary = format!("{}, on {}", sheet.title(), item.name);
        let chart = beside.figure(&sheet.file("terms"), &chart)?;
        body += &details(summary, body.is_empty(), &chart);
    }
    if !body.is_empty() {
        body.insert_str(0, &paragraph("The terms of the bound along the optimal schedules: with more steps each of them costs less, and the step onto the data most."));
    }
    Ok(Section::unless_empty("terms", "What each step costs", body))
}
