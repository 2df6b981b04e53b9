//! What a person sees at a terminal and nobody else: the progress line and colours; and readers that leave early.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ddpm, scratch, small, small_images};

/// A command line for a shell.
fn shell_line(command: Ddpm) -> String {
    let process = command.into_inner();
    std::iter::once(process.get_program())
        .chain(process.get_args())
        .map(|word| {
            let word = word.to_str().expect("text");
            assert!(!word.contains('\''), "{word}");
            format!("'{word}'")
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a shell command shows on a terminal of 100 columns, and its exit code.
fn on_a_terminal(line: &str) -> (String, i32) {
    let output = Command::new("script")
        .args(["-qec", &format!("stty cols 100; {line}"), "/dev/null"])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("CI")
        .env_remove("DDPM_DATA")
        .stdin(Stdio::null())
        .output()
        .expect("this test needs util-linux's script");
    let text = String::from_utf8(output.stdout).expect("text");
    (text, output.status.code().unwrap_or(-1))
}

/// A run of 40 evaluations.
fn run(folder: &Path) -> Ddpm {
    let data = folder.join("x.safetensors");
    small_images(&data, 1, 0.0);
    small("bpd")
        .file("--data", &data)
        .words("--path all --batch 1")
}

const ESCAPE: char = '\x1b';

mod needs_script {
    use super::*;

    #[test]
    #[ignore = "needs util-linux's script"]
    fn progress_is_for_a_person_at_a_terminal() {
        let folder = scratch();
        let piped = run(folder.path()).run().succeeds();
        assert_eq!(piped.stderr(), "");
        assert!(!piped.stdout().contains("evaluations"));

        let line = shell_line(run(folder.path()));
        let (shown, code) = on_a_terminal(&line);
        assert_eq!(code, 0, "{shown}");
        for word in [
            "0/40 evaluations, time left unknown",
            " 1/40 evaluations, ",
            "/s, ",
            " s left",
        ] {
            assert!(shown.contains(word), "{word:?} is not in:\n{shown}");
        }
        // The line goes away, and what follows it is what a pipe gets.
        let (_, after) = shown.rsplit_once("\x1b[2K").expect("the line is cleared");
        assert_eq!(
            after.trim_start_matches('\r').replace("\r\n", "\n"),
            piped.stdout()
        );

        for silent in [
            format!("{line} --quiet"),
            format!("TERM=dumb {line}"),
            format!("{line} 2>/dev/null"),
        ] {
            let (shown, code) = on_a_terminal(&silent);
            assert_eq!(code, 0);
            assert!(
                !shown.contains("evaluations") && !shown.contains(ESCAPE),
                "{silent}\n{shown}"
            );
        }
        // A line that is rewritten has no colour to switch off: nothing but what clears it.
        let (shown, _) = on_a_terminal(&format!("NO_COLOR=1 {line}"));
        assert!(shown.contains(" 1/40 evaluations, "));
        assert!(
            shown
                .split(ESCAPE)
                .skip(1)
                .all(|rest| rest.starts_with("[2K")),
            "{shown:?}"
        );
    }

    #[test]
    #[ignore = "needs util-linux's script"]
    fn a_choice_says_how_far_it_is() {
        let profile = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("datasets/mnist-small.train.profile.safetensors");
        let schedule = Ddpm::new("schedule").arg(&profile).words("--steps 5");
        let (shown, code) = on_a_terminal(&shell_line(schedule));
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains(" 0/9 choices, "), "{shown}");
    }

    #[test]
    #[ignore = "needs util-linux's script"]
    fn steps_of_the_best_likelihood_are_not_taken_for_those_of_the_best_pictures() {
        let folder = scratch();
        let at = |name: &str| folder.path().join(name);
        small_images(&at("x.safetensors"), 2, 0.0);
        small("profile")
            .file("--data", &at("x.safetensors"))
            .file("--out", &at("p"))
            .run()
            .succeeds();
        Ddpm::new("schedule")
            .arg(at("p"))
            .words("--steps 3 --folds 0")
            .file("--out", &at("s.json"))
            .run()
            .succeeds();
        let export = || Ddpm::new("export").arg(at("s.json")).words("--format csv");
        let sample = || {
            small("sample")
                .words("--count 1 --force")
                .file("--out", &at("x.png"))
        };
        let of_schedule = || {
            sample()
                .file("--schedule", &at("s.json"))
                .words("--steps 3")
        };
        let own = sample()
            .words("--path even:3 --variance spectral")
            .file("--profile", &at("p"));
        let other = of_schedule().words("--sampler ddim");
        for (command, is_told) in [
            (export(), true),
            (of_schedule(), true),
            (own, false),
            (other, false),
        ] {
            let (shown, code) = on_a_terminal(&shell_line(command));
            assert_eq!(code, 0, "{shown}");
            assert_eq!(
                shown.contains("chosen for likelihood; even ones"),
                is_told,
                "{shown}"
            );
        }
        assert_eq!(export().run().succeeds().stderr(), "");
    }

    #[test]
    #[ignore = "needs util-linux's script"]
    fn colours_are_switched_off() {
        for words in ["--help", "frobnicate"] {
            let line = shell_line(Ddpm::new(words));
            let (shown, _) = on_a_terminal(&line);
            assert!(shown.contains(ESCAPE), "{shown}");
            for off in [
                "NO_COLOR=1",
                "TERM=dumb",
                "CI=true NO_COLOR=1",
                "CI=true TERM=dumb",
            ] {
                let (shown, _) = on_a_terminal(&format!("{off} {line}"));
                assert!(
                    shown.contains("ddpm") && !shown.contains(ESCAPE),
                    "{off}: {shown:?}"
                );
            }
        }
    }
}

mod needs_bash {
    use super::*;

    #[test]
    #[ignore = "needs bash"]
    fn readers_that_leave_early_are_no_error() {
        let all = "--noise-schedule cosine --train-steps 4000";
        for command in [
            Ddpm::new("transitions").words(all),
            Ddpm::new("transitions").words(all).words("--json"),
            Ddpm::new("completions").words("zsh"),
            Ddpm::new("man"),
            Ddpm::new("profile").words("--help"),
            Ddpm::new("frobnicate"),
        ] {
            let line = shell_line(command);
            let wrong = line.contains("frobnicate");
            // Both streams into a pipe that is closed after a line, or before anything was written.
            for reader in ["head -n 1", "true"] {
                let output = Command::new("bash")
                    .args([
                        "-c",
                        &format!("{line} 2>&1 | {reader} > /dev/null; echo ${{PIPESTATUS[0]}}"),
                    ])
                    .output()
                    .expect("this test needs bash");
                let code = if wrong { "2\n" } else { "0\n" };
                assert_eq!(
                    String::from_utf8_lossy(&output.stdout),
                    code,
                    "{line} | {reader}"
                );
                assert_eq!(
                    String::from_utf8_lossy(&output.stderr),
                    "",
                    "{line} | {reader}"
                );
            }
        }
    }
}
