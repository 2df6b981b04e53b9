//! The top of the command line.

use clap::{Args, Parser, Subcommand};

use super::chain::{Solve, Transitions};
use super::distance::Fid;
use super::evaluation::{Bpd, Sample};
use super::export::Export;
use super::install::{Completions, Man};
use super::network::{Bench, Inspect, Predict};
use super::plot::{Plot, Report};
use super::profiles::{Merge, Profile, Schedule, Table};
use super::trajectory::Trajectory;
use super::tune::Tune;

/// Exact optimal schedules for pretrained diffusion models, for every K at once.
#[derive(Debug, Parser)]
#[command(
    name = "ddpm",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
For the likelihood, then for the quality of samples:
  ddpm profile model.pt --data cifar10 --limit 128 --out train.p
  ddpm schedule train.p --steps 8,16,32 --out s.json
  ddpm sample model.pt --schedule s.json --steps 32 --count 64 --out samples.png
  ddpm trajectory model.pt --out flow.safetensors
  ddpm schedule flow.safetensors --objective quality --steps 5,10,20
Exit codes: 0 done, 1 our fault, 2 usage, 3 bad input, 4 resumable, 5 system."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonArgs {
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Threads to compute with [default: one per core]
    #[arg(long, value_name = "N", global = true, help_heading = EVERYWHERE, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub(crate) threads: Option<u16>,
}

const EVERYWHERE: &str = "Every command";

/// More than any machine has cores; each takes memory before it does anything.
const MOST_THREADS: i64 = 512;

/// The commands, in the order of a job.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(Inspect),
    Predict(Predict),
    Transitions(Transitions),
    Solve(Solve),
    Profile(Box<Profile>),
    Merge(Merge),
    Trajectory(Box<Trajectory>),
    Schedule(Box<Schedule>),
    Tune(Box<Tune>),
    Table(Table),
    Bpd(Box<Bpd>),
    Sample(Box<Sample>),
    Export(Export),
    Plot(Plot),
    Report(Report),
    Fid(Box<Fid>),
    Bench(Bench),
    Completions(Completions),
    Man(Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_screen_and_every_command_shows_its_own_options_first() {
        let mut cli = Cli::command().term_width(80);
        // No option has more to say than its line, so that --help prints the short form.
        let help = cli.render_help().to_string();
        assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
        let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
        let listed = help.lines().filter(|line| {
            let name = line.trim_start().split(' ').next();
            line.starts_with("  ") && names.iter().any(|known| name == Some(known))
        });
        // One line each.
        assert_eq!(listed.count(), names.len(), "{help}");
        cli.build();
        for command in cli.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let place = |heading: &str| help.find(&format!("\n{heading}:\n"));
            let own = place("Options");
            let others = ["What the weights cannot tell", "Computing", "Every command"];
            for other in others.map(place).into_iter().flatten() {
                assert!(own.is_some_and(|own| own < other), "{}", command.get_name());
            }
        }
    }

    /// The command lines that a help text shows: lines that begin with `ddpm` below a variable or two. A comment stands two
    /// spaces apart; a pipe or a redirection ends the command.
    fn command_lines(help: &str) -> Vec<Vec<String>> {
        help.lines()
            .filter_map(|line| {
                let line = line.trim_start().split("  ").next()?;
                let words: Vec<&str> = line
                    .split_whitespace()
                    .skip_while(|word| word.contains('=') && !word.starts_with('-'))
                    .take_while(|word| !["|", ">", ">>"].contains(word))
                    .collect();
                (words.first() == Some(&"ddpm"))
                    .then(|| words.into_iter().map(str::to_owned).collect())
            })
            .collect()
    }

    #[test]
    fn every_command_shows_examples_and_they_parse() {
        let mut cli = Cli::command();
        cli.build();
        let mut of_cli = command_lines(&cli.render_long_help().to_string());
        assert!(of_cli.len() >= 5, "{of_cli:?}");
        for command in cli.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            let shown = command_lines(&help);
            assert!(
                help.contains("Example") && shown.iter().any(|words| words[1] == name),
                "{name} has no example"
            );
            of_cli.extend(command_lines(
                &command.get_after_help().unwrap().to_string(),
            ));
        }
        for words in of_cli {
            // Longer ones would be broken in two, and could not be pasted.
            assert!(words.join(" ").len() <= 98, "{}", words.join(" "));
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{}: {error}", words.join(" "));
            }
        }
    }

    #[test]
    fn examples_that_do_not_parse_are_found() {
        let found = command_lines(
            "Example:\n  A=1 ddpm solve x.npy --json > a.json\n  ddpm man   a comment\nuse ddpm so\n",
        );
        assert_eq!(
            found,
            [
                vec!["ddpm", "solve", "x.npy", "--json"],
                vec!["ddpm", "man"]
            ]
        );
        assert!(Cli::try_parse_from(["ddpm", "solve", "x.npy", "--jsonn"]).is_err());
    }
}
