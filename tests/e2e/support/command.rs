//! Running the binary.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The names of all commands, as `ddpm --help` lists them.
pub(crate) fn commands() -> Vec<String> {
    let help = Ddpm::new("--help").run().succeeds().stdout();
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let names: Vec<String> = list
        .lines()
        .take_while(|line| !line.is_empty())
        // A name is indented by two, what a long line goes on with by more.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.len() >= 18, "{names:?}");
    names
}

/// A command line of `ddpm` under construction.
#[derive(Debug)]
pub(crate) struct Ddpm(Command);

impl Ddpm {
    /// `ddpm COMMAND`, without the data set of the surrounding test run.
    pub(crate) fn new(command: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ddpm"));
        process.arg(command).env_remove("DDPM_DATA");
        Self(process)
    }

    /// `ddpm COMMAND` under a limit on the size of files, in units of 512 or 1024 bytes.
    pub(crate) fn with_file_limit(blocks: u32, command: &str) -> Self {
        Self::limited(&format!("-f {blocks}"), command)
    }

    /// `ddpm COMMAND` under a limit on its memory, in units of 1024 bytes.
    pub(crate) fn with_memory_limit(kib: u32, command: &str) -> Self {
        Self::limited(&format!("-v {kib}"), command)
    }

    fn limited(limit: &str, command: &str) -> Self {
        let mut process = Command::new("sh");
        process
            .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_ddpm"))
            .arg(command)
            .env_remove("DDPM_DATA");
        Self(process)
    }

    /// Runs it in another folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Adds words that hold no spaces.
    pub(crate) fn words(mut self, words: &str) -> Self {
        self.0.args(words.split_whitespace());
        self
    }

    /// Adds one argument as it is.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// Adds `--flag PATH`.
    pub(crate) fn file(self, flag: &str, path: &Path) -> Self {
        self.arg(flag).arg(path)
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// The process itself, for tests that handle its streams.
    pub(crate) fn into_inner(self) -> Command {
        self.0
    }

    /// Starts it, for tests that do not wait for its end.
    pub(crate) fn spawn(self) -> Child {
        self.into_inner()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs it to the end.
    pub(crate) fn run(mut self) -> Outcome {
        let shown = format!("{:?}", self.0);
        let output = self
            .0
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        Outcome { shown, output }
    }

    /// Runs it with `--out OUT` and expects success, whatever is there.
    pub(crate) fn writes(self, out: &Path) {
        self.over("--out", out).run().succeeds();
    }

    /// Adds `--flag PATH` of an output that may be there.
    pub(crate) fn over(self, flag: &str, path: &Path) -> Self {
        self.arg("--force").file(flag, path)
    }

    /// Runs it, expects success and returns stdout as JSON.
    pub(crate) fn json(self) -> Value {
        self.arg("--json").run().succeeds().json()
    }

    /// Runs it, expects exit code `code` and a message with every one of `named`.
    pub(crate) fn fails(self, code: i32, named: &[&str]) {
        self.run().fails(code, named);
    }
}

/// A finished command.
#[derive(Debug)]
pub(crate) struct Outcome {
    shown: String,
    output: Output,
}

impl Outcome {
    /// Expects exit code 0.
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code(), 0, "{}\n{}", self.shown, self.stderr());
        self
    }

    /// Expects exit code `code`, nothing on stdout, and a message on stderr with every one of
    /// `named`.
    pub(crate) fn fails(self, code: i32, named: &[&str]) -> Self {
        let stderr = self.stderr();
        assert_eq!(self.code(), code, "{}\n{stderr}", self.shown);
        assert_eq!(self.stdout(), "", "{}", self.shown);
        for word in named {
            assert!(
                stderr.contains(word),
                "{}: {word:?} is not in:\n{stderr}",
                self.shown
            );
        }
        assert!(!stderr.contains("panicked"), "{stderr}");
        self
    }

    /// The exit code; -1 if a signal ended the process.
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).expect("stdout is text")
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).expect("stderr is text")
    }

    /// stdout as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.shown, self.stdout()))
    }
}

/// What the command says when Ctrl-C stops it after it has finished the first piece of its work, which it keeps in `partial`.
pub(crate) fn stopped_with(partial: &Path, command: impl Fn() -> Ddpm) -> String {
    stopped_by("-INT", partial, command)
}

/// The same with another signal.
pub(crate) fn stopped_by(signal: &str, partial: &Path, command: impl Fn() -> Ddpm) -> String {
    // Later and later, and then once more in smaller steps: how fast a busy machine is nobody knows, and a run that ended may have been
    // too slow to hear of the signal as well as too fast for it.
    let mut after = Duration::from_millis(50);
    let mut growth = 1.5;
    for _ in 0..60 {
        let child = command().spawn();
        std::thread::sleep(after);
        let kill = || {
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap()
        };
        assert!(kill().success());
        // A shell sends it to its jobs, and the system to the terminal's.
        if signal == "-HUP" {
            kill();
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if partial.exists() {
            assert_eq!(output.status.code(), Some(4), "{stderr}");
            return stderr;
        }
        if output.status.success() {
            std::fs::remove_file(partial.with_extension("")).unwrap();
        }
        after = after.mul_f64(growth);
        if after > Duration::from_secs(20) {
            after = Duration::from_millis(50);
            growth = 1.2;
        }
    }
    panic!("sixty runs, and none was stopped in the middle");
}
