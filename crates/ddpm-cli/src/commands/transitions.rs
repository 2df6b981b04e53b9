//! `ddpm transitions`: the constants of a respaced chain.

use ddpm_core::RespacedChain;
use ddpm_schedule::results;

use crate::args::Transitions;
use crate::error::Result;
use crate::input::{noise_schedule, parse_path};
use crate::output;
use crate::render::{Indices, TextTable};

/// Runs the command.
pub(crate) fn run(args: &Transitions) -> Result<()> {
    let schedule = noise_schedule(&args.chain, None)?;
    let path = parse_path(&args.path, &schedule, args.zero_based)?;
    let constants = RespacedChain::new(&schedule, &path);
    let indices = Indices::from_flag(args.zero_based);
    if args.json {
        return output::print_json(&results::Transitions {
            train_steps: schedule.train_steps(),
            noise_schedule: schedule.name_or_custom(),
            path: indices.show_path(path.nodes()),
            betas: constants.betas,
            alphas_cumprod: constants.alphas_cumprod,
            posterior_variance: constants.posterior_variance,
            posterior_log_variance_clipped: constants.posterior_log_variance_clipped,
            posterior_mean_coef1: constants.posterior_mean_coef1,
            posterior_mean_coef2: constants.posterior_mean_coef2,
        });
    }
    let mut text = TextTable::new(
        "step: | t: | s: | beta: | alpha_cumprod: | posterior_variance: | log_variance_clipped: | mean_coef1: | mean_coef2:",
    )
    .title(format!(
        "Constants of the respaced chain: {} noise schedule, T={}, {} steps",
        schedule.name_or_custom(),
        schedule.train_steps(),
        path.steps()
    ));
    for (k, (t, s)) in path.edges().enumerate() {
        let counts = [
            k.to_string(),
            indices.show(t).to_string(),
            indices.show(s).to_string(),
        ];
        let numbers = [
            &constants.betas,
            &constants.alphas_cumprod,
            &constants.posterior_variance,
            &constants.posterior_log_variance_clipped,
            &constants.posterior_mean_coef1,
            &constants.posterior_mean_coef2,
        ];
        // Eight significant digits: their sizes are very different.
        let numbers = numbers.map(|values| format!("{:.8e}", values[k]));
        text.row(counts.into_iter().chain(numbers));
    }
    output::print_text(&text.to_string())
}
