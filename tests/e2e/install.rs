//! `ddpm completions` and `ddpm man`: in a real bash and a real `man`, where there are any.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Ddpm, commands, scratch};

/// What a program says that this test needs.
fn output(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"))
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

mod needs_bash {
    use super::*;

    #[test]
    #[ignore = "needs bash"]
    fn bash_completes_commands_flags_and_values() {
        let folder = scratch();
        let script = Ddpm::new("completions").words("bash").run().succeeds();
        assert_eq!(script.stderr(), "");
        let file = written(folder.path(), "ddpm.bash", &script.stdout());
        let complete = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
            // What readline does for a user who presses Tab at the end of the line.
            let code = format!(
                "source '{file}'; complete -p ddpm >&2 || exit 1; COMP_WORDS=({line}); COMP_CWORD={}; \
                 COMP_LINE='{line}'; COMP_POINT={}; _ddpm ddpm '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                words.len() - 1,
                line.len(),
            );
            let output = output("bash", &["--norc", "--noprofile", "-c", &code]);
            let registered = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{registered}");
            assert!(registered.contains("-F _ddpm"), "{registered}");
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(complete("ddpm sch"), ["schedule"]);
        let flags = [
            ("ddpm profile --evalu", vec!["--evaluations"]),
            ("ddpm sample --noise-f", vec!["--noise-from"]),
            ("ddpm merge --qui", vec!["--quiet"]),
            ("ddpm schedule --variance ana", vec!["analytic"]),
            ("ddpm export --format com", vec!["comfyui"]),
            ("ddpm plot bits", vec!["bits-per-dim"]),
        ];
        for (line, expected) in flags {
            assert_eq!(complete(line), expected, "{line}");
        }
        let all = complete("ddpm ");
        for command in commands() {
            assert!(all.contains(&command), "{command}");
        }
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for (shell, start) in [
        ("bash", "_ddpm() {"),
        ("zsh", "#compdef ddpm"),
        ("fish", "# Print an optspec"),
        (
            "powershell",
            "\nusing namespace System.Management.Automation",
        ),
        ("elvish", "\nuse builtin;"),
    ] {
        let script = Ddpm::new("completions")
            .words(shell)
            .run()
            .succeeds()
            .stdout();
        assert!(script.starts_with(start), "{shell}: {}", &script[..80]);
        for word in ["ddpm", "schedule", "noise-from"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    Ddpm::new("completions")
        .words("tcsh")
        .fails(2, &["tcsh", "bash", "powershell"]);
    Ddpm::new("completions").fails(2, &["SHELL"]);
}

/// The files that `ddpm man` writes: the whole manual on stdout, and a page for each command.
fn manual(folder: &Path) -> Vec<String> {
    let whole = Ddpm::new("man").run().succeeds().stdout();
    let pages = folder.join("share/man1");
    let run = Ddpm::new("man").file("--out", &pages).run().succeeds();
    assert_eq!((run.stdout(), run.stderr()), (String::new(), String::new()));
    let mut files = vec![written(folder, "whole.1", &whole)];
    for command in std::iter::once("ddpm".to_owned()).chain(
        commands()
            .into_iter()
            .map(|command| format!("ddpm-{command}")),
    ) {
        let page = pages.join(format!("{command}.1"));
        assert!(page.is_file(), "{command}");
        files.push(page.to_str().unwrap().to_owned());
    }
    assert_eq!(std::fs::read_dir(&pages).unwrap().count(), files.len() - 1);
    files
}

#[test]
fn man_writes_a_page_for_each_command() {
    let folder = scratch();
    for file in manual(folder.path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.contains("SYNOPSIS") && text.contains("EXAMPLES"),
            "{file}"
        );
    }
    // A folder that cannot be: the system's refusal, and nothing half-written.
    let file = written(folder.path(), "file", "mine");
    Ddpm::new("man")
        .words("--out")
        .arg(Path::new(&file).join("man1"))
        .fails(5, &["cannot write", "man1"]);
}

mod needs_man {
    use super::*;

    #[test]
    #[ignore = "needs man and groff"]
    fn man_formats_every_page_without_warnings() {
        let folder = scratch();
        for file in &manual(folder.path()) {
            // All warnings, no output.
            let groff = output("groff", &["-man", "-ww", "-z", "-Tutf8", file]);
            assert!(groff.status.success());
            assert_eq!(String::from_utf8_lossy(&groff.stderr), "", "{file}");
            let man = output("man", &["--warnings=w", "-l", file]);
            let (text, said) = (
                String::from_utf8_lossy(&man.stdout),
                String::from_utf8_lossy(&man.stderr),
            );
            assert!(man.status.success() && said.is_empty(), "{file}: {said}");
            assert!(
                text.contains("SYNOPSIS") && text.contains("EXAMPLES"),
                "{text}"
            );
        }
    }
}
