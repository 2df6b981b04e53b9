//! `ddpm solve`: any table of step costs, every budget at once.

use std::path::Path;

use ddpm_core::{NoiseSchedule, TimePath};
use ddpm_dp::{CostTable, Method, Solution, SolveOptions};
use ddpm_eval::Progress;
use ddpm_schedule::Budgets;
use ddpm_schedule::export::export_paths;
use ddpm_schedule::results::{self, SolvedBudget};
use rayon::prelude::*;

use super::export::print_export;
use crate::args::{Solve, SolverArg};
use crate::error::{Error, Located, Result};
use crate::input::{noise_schedule, parse_budgets, read_matrix};
use crate::output::{self, Voice};
use crate::render::{Indices, ProgressLine, TextTable, shorten};

/// Runs the command.
pub(crate) fn run(args: &Solve, voice: Voice) -> Result<()> {
    if let (None, Some(flag)) = (args.export, args.chain.first_given()) {
        return Err(Error::usage(format!(
            "{flag}: the chain is for the formats of --export; expected --export FORMAT with it"
        )));
    }
    let table = read_table(&args.table)?;
    let train_steps = table.train_steps();
    let budgets = parse_budgets("--budgets", &args.budgets, train_steps)?;
    let indices = Indices::from_flag(args.zero_based);
    voice.note(format_args!(
        "{}: T={train_steps}, solving for every budget",
        args.table.display()
    ));
    let options = SolveOptions {
        method: match args.method {
            SolverArg::Auto => Method::Auto,
            SolverArg::Blocked => Method::Blocked,
            SolverArg::Monge => Method::Monge,
        },
        max_steps: None,
    };
    let line = ProgressLine::counting("edges", voice);
    let edges = |t: usize| t as u64 * (t as u64 + 1) / 2;
    line.start(edges(train_steps));
    let mut solved = 0;
    let mut watch = |t: usize| {
        if t < solved {
            // The faster way was of no use.
            line.start(edges(train_steps));
            solved = 0;
        }
        line.advance(edges(t) - edges(solved));
        solved = t;
    };
    let solution = ddpm_dp::solve_watched(&table, &options, &mut watch);
    line.finish();
    let solution = solution.in_file(&args.table)?;
    let budgets = possible(&solution, &budgets, train_steps, &args.table)?;
    let chosen = optima(&table, &solution, &budgets);
    if let Some(format) = args.export {
        let chain = chain(args, train_steps)?;
        let paths = chosen.map(|b| TimePath::new(b.path, train_steps));
        let paths = paths.collect::<ddpm_core::Result<Vec<_>>>().or_internal()?;
        let exported = export_paths(train_steps, chain.as_ref(), &paths, format);
        return print_export(exported, &args.table, voice);
    }
    if args.json {
        let costs: Vec<Option<f64>> = (1..=train_steps)
            .map(|k| Some(solution.cost(k, train_steps)).filter(|c| c.is_finite()))
            .collect();
        let result = results::Solve {
            train_steps,
            method: method_name(&solution).to_owned(),
            costs,
            budgets: Vec::new(),
        };
        let chosen = chosen.map(|budget| SolvedBudget {
            path: indices.show_path(&budget.path),
            ..budget
        });
        output::print_json_with(&result, "budgets", chosen)
    } else {
        let mut text = TextTable::new("steps: | cost: | path").title(format!(
            "Optimal paths from 0 to T={train_steps} ({} solver); costs in the table's unit",
            method_name(&solution)
        ));
        for b in chosen {
            text.row([
                b.steps.to_string(),
                format!("{:.9}", b.cost),
                shorten(&indices.show_path(&b.path)),
            ]);
        }
        output::print_text(&text.to_string())
    }
}

/// The noise schedule of the table's timesteps, where one is given.
fn chain(args: &Solve, train_steps: usize) -> Result<Option<NoiseSchedule>> {
    if args.chain.first_given().is_none() {
        return Ok(None);
    }
    let chain = noise_schedule(&args.chain, Some(train_steps))?;
    if chain.train_steps() != train_steps {
        return Err(Error::file(
            &args.table,
            format!(
                "expected T={}, as the noise schedule has, found T={train_steps}",
                chain.train_steps()
            ),
        ));
    }
    Ok(Some(chain))
}

/// The budgets asked for; under `all` those that no path meets are left out.
fn possible(solution: &Solution, budgets: &Budgets, end: usize, file: &Path) -> Result<Vec<usize>> {
    let mut wanted = budgets.wanted(end).or_internal()?;
    let is_met = |&steps: &usize| solution.cost(steps, end).is_finite();
    if matches!(budgets, Budgets::All) {
        wanted.retain(is_met);
    }
    match wanted.iter().find(|steps| !is_met(steps)) {
        None if wanted.is_empty() => {
            let problem = format!(
                "T={end} is unreachable from 0: every path uses a missing edge (+inf); cost[t, s] is the step from t to s < t"
            );
            Err(Error::file(file, problem))
        }
        None => Ok(wanted),
        Some(steps) => {
            let problem = format!(
                "T={end} is unreachable in K={steps} steps: every such path uses a missing edge (+inf)"
            );
            Err(Error::file(file, problem))
        }
    }
}

/// The optimum of every budget, found some at a time: all of them have as many nodes as the table has entries.
fn optima<'a>(
    table: &'a CostTable,
    solution: &'a Solution,
    budgets: &'a [usize],
) -> impl Iterator<Item = SolvedBudget> + 'a {
    const AT_ONCE: usize = 64;
    let end = table.train_steps();
    budgets.chunks(AT_ONCE).flat_map(move |some| {
        let optimum = |&steps: &usize| {
            let path = solution.path(table, steps, end)?;
            let cost = solution.cost(steps, end);
            Some(SolvedBudget { steps, cost, path })
        };
        let found: Vec<_> = some.par_iter().filter_map(optimum).collect();
        found
    })
}

fn method_name(solution: &Solution) -> &'static str {
    match solution.certificate().method {
        Method::Monge => "monge",
        Method::Auto | Method::Blocked => "blocked",
    }
}

/// Reads a square array of f64 or f32.
fn read_table(path: &Path) -> Result<CostTable> {
    let square = read_matrix(path, "(T+1)x(T+1) array")?;
    CostTable::from_square(square.view()).in_file(path)
}
