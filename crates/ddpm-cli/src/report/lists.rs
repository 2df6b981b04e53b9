//! Schedules as lists to be copied.

use super::html::{Section, details, paragraph};
use super::schedules::Sheet;
use crate::render::{Indices, escape, join, with_error};

pub(super) fn section(sheets: &[Sheet<'_>]) -> Option<Section> {
    if sheets.is_empty() {
        return None;
    }
    let mut body = "<p>Timesteps count from 0 and begin with the noisiest, as diffusers counts; its pipelines forget a list, and DDPMPipeline and DDIMPipeline have no argument for one: <code>ddpm export S.json --format diffusers</code> writes a scheduler that keeps to it. Or they are the nodes of the path, where 0 is the clean image, as ddpm counts (<code>--path</code>).</p>\n".to_owned();
    body.push_str("<p class=\"choice\"><label><input type=\"radio\" name=\"count\" id=\"count-zero\" checked=\"\"/> as diffusers counts</label> <label><input type=\"radio\" name=\"count\" id=\"count-nodes\"/> as ddpm counts</label></p>\n");
    for (i, sheet) in sheets.iter().enumerate() {
        body.push_str(&details(sheet.title(), i == 0, &lists(sheet)));
    }
    Section::unless_empty("schedules", "The schedules", body)
}

fn lists(sheet: &Sheet<'_>) -> String {
    let (budgets, hidden) = sheet.shown();
    let mut html = String::new();
    for budget in budgets {
        let mut zero = Indices::ZeroBased.show_path(budget.nodes());
        zero.reverse();
        let nodes = Indices::Nodes.show_path(budget.nodes());
        html.push_str(&format!(
            "<div class=\"list\"><p><b>K = {}</b> <span>{} {}</span> <button type=\"button\" class=\"copy\" aria-label=\"Copy the schedule of {0} steps\">Copy</button></p><code class=\"zero\">[{}]</code><code class=\"nodes\">{}</code></div>\n",
            budget.steps(),
            with_error(budget.cost, None),
            escape(sheet.schedules.scoring.objective.unit()),
            join(&zero, ", "),
            join(&nodes, ","),
        ));
    }
    if hidden > 0 {
        html.push_str(&paragraph(&format!(
            "The file holds {hidden} more: ddpm export writes them all."
        )));
    }
    html.push_str(&paragraph(
        "Costs are without the prior, on the images that the schedules were chosen on; the table scores them on others.",
    ));
    html
}
