//! Manual pages, from the same data as `--help`.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// One page with everything.
pub(crate) fn whole(cli: &Command) -> String {
    let cli = built(cli);
    let mut page = head(&cli);
    page += &options(&cli);
    page += &overview(&cli);
    page += &examples(&cli);
    for command in cli.get_subcommands() {
        let mut chapter = Roff::new();
        chapter.control("SH", [title(command).as_str()]);
        page += &source(&chapter);
        let sections =
            synopsis(command) + &description(command) + &options(command) + &examples(command);
        // Sections of the command are subsections of its chapter.
        for line in sections.lines() {
            match line.strip_prefix(".SH ") {
                Some(heading) => page += &format!(".SS {heading}\n"),
                None => page += &format!("{line}\n"),
            }
        }
    }
    page
}

/// The names and the texts of a page for `ddpm` and of one for every command.
pub(crate) fn pages(cli: &Command) -> Vec<(String, String)> {
    let cli = built(cli);
    let mut see_also = Roff::new();
    see_also.control("SH", ["SEE ALSO"]);
    see_also.text([roman("ddpm(1)")]);
    let of_cli = head(&cli) + &options(&cli) + &overview(&cli) + &examples(&cli);
    let of_commands = cli.get_subcommands().map(|command| {
        let text = head(command) + &options(command) + &examples(command) + &source(&see_also);
        (format!("{}.1", title(command)), text)
    });
    std::iter::once(("ddpm.1".to_owned(), of_cli))
        .chain(of_commands)
        .collect()
}

/// With the flags of every command in every command.
fn built(cli: &Command) -> Command {
    let mut cli = cli.clone();
    cli.build();
    cli
}

/// `ddpm` or `ddpm-COMMAND`.
fn title(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}

fn man(command: &Command) -> Man {
    Man::new(command.clone())
        // No date, so that the same program always writes the same page; an empty one would be lost.
        .date(" ")
        .source(concat!("ddpm ", env!("CARGO_PKG_VERSION")))
        .manual("ddpm manual")
}

/// Lines with which roff begins whatever it writes: what an apostrophe is.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What one section of clap_mangen writes.
fn section(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut text = Vec::new();
    render(&mut text).expect("memory takes all");
    String::from_utf8(text)
        .expect("help texts are text")
        .replace(PREAMBLE, "")
}

fn source(roff: &Roff) -> String {
    section(|out| roff.to_writer(out))
}

fn head(command: &Command) -> String {
    let man = man(command);
    PREAMBLE.to_owned()
        + &section(|out| man.render_title(out))
        + &section(|out| man.render_name_section(out))
        + &synopsis(command)
        + &description(command)
}

/// The usage as `--help` has it: clap_mangen's own leaves out the values of flags.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let command = command.clone().override_usage(usage);
    section(|out| man(&command).render_synopsis_section(out))
}

fn description(command: &Command) -> String {
    section(|out| man(command).render_description_section(out))
}

fn options(command: &Command) -> String {
    section(|out| man(command).render_options_section(out))
}

/// The commands with a line on each.
fn overview(cli: &Command) -> String {
    section(|out| man(cli).render_subcommands_section(out))
}

/// What `--help` ends with, line by line: examples must not be filled like prose.
fn examples(command: &Command) -> String {
    let Some(text) = command.get_after_help() else {
        return String::new();
    };
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in text.to_string().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    source(&roff)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// Every flag and every value that stands alone, as it is typed.
    fn arguments(command: &Command) -> Vec<String> {
        command
            .get_arguments()
            .map(|arg| match (arg.get_long(), arg.get_value_names()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some(names)) => names.join(" "),
                (None, None) => panic!("{arg} has no name"),
            })
            .collect()
    }

    /// roff without its marks for hyphens and fonts.
    fn plain(page: &str) -> String {
        page.replace("\\-", "-")
            .replace("\\*(Aq", "'")
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "")
    }

    #[test]
    fn the_page_names_every_command_and_flag() {
        let cli = built(&Cli::command());
        let page = whole(&cli);
        assert_eq!(
            page.matches(PREAMBLE).count(),
            1,
            "an apostrophe is defined once"
        );
        let page = plain(&page);
        assert!(page.contains(concat!(
            ".TH ddpm 1 \" \" \"ddpm ",
            env!("CARGO_PKG_VERSION"),
            "\" \"ddpm manual\"\n"
        )));
        let mut chapters = page.split(".SH ddpm-");
        let top = chapters.next().unwrap();
        let mut chapters: Vec<&str> = chapters.collect();
        for argument in arguments(&cli) {
            assert!(
                top.contains(&format!("\n{argument}")) || top.contains(&format!(", {argument}")),
                "{argument}"
            );
        }
        let pages = pages(&cli);
        assert_eq!(pages[0].0, "ddpm.1");
        assert_eq!(pages.len(), chapters.len() + 1);
        for (command, (name, text)) in cli.get_subcommands().zip(&pages[1..]) {
            let chapter = chapters.remove(0);
            let text = plain(text);
            assert!(chapter.starts_with(command.get_name()), "{chapter}");
            let usage = format!("ddpm {} [OPTIONS]", command.get_name());
            let usage = [usage.clone(), usage.replace(" [OPTIONS]", " <")];
            assert!(usage.iter().any(|usage| text.contains(usage)), "{text}");
            assert_eq!(*name, format!("ddpm-{}.1", command.get_name()));
            assert!(top.contains(&format!("ddpm-{}(1)", command.get_name())));
            let found = arguments(command);
            assert!(
                found.len() >= 4,
                "the flags of every command are among them"
            );
            for argument in found {
                for page in [chapter, &text] {
                    let heads = [
                        format!("\n{argument}"),
                        format!(", {argument}"),
                        format!("\n<{argument}>"),
                        format!("\n[{argument}]"),
                    ];
                    assert!(
                        heads.iter().any(|head| page.contains(head)),
                        "{name}: {argument}"
                    );
                }
            }
            for line in command.get_after_help().unwrap().to_string().lines() {
                assert!(text.contains(line), "{name}: {line}");
            }
        }
    }
}
