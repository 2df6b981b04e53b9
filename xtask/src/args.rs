//! A few dozen lines of argument parsing, so that the task runner needs no parser crate.

use std::fmt;

/// The command line was wrong; the process exits with 2.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl UsageError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The words of a command line that no option has claimed yet.
pub(crate) struct Args {
    words: Vec<String>,
    help: &'static str,
}

impl Args {
    pub(crate) fn new(words: Vec<String>, help: &'static str) -> Self {
        Self { words, help }
    }

    /// Prints the help text and returns true when it was asked for.
    pub(crate) fn help_wanted(&self) -> bool {
        let wanted = self.words.iter().any(|w| w == "--help" || w == "-h");
        if wanted {
            println!("{}", self.help);
        }
        wanted
    }

    /// Takes a switch such as `--full`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|w| w != name);
        self.words.len() != before
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> anyhow::Result<Option<String>> {
        let prefix = format!("{name}=");
        let Some(at) = self
            .words
            .iter()
            .position(|w| w == name || w.starts_with(&prefix))
        else {
            return Ok(None);
        };
        let word = self.words.remove(at);
        if let Some(value) = word.strip_prefix(&prefix) {
            return Ok(Some(value.to_owned()));
        }
        if at < self.words.len() {
            Ok(Some(self.words.remove(at)))
        } else {
            Err(UsageError(format!("{name} needs a value\n\n{}", self.help)).into())
        }
    }

    /// Takes `--name N` as a whole number.
    pub(crate) fn number(&mut self, name: &str) -> anyhow::Result<Option<u64>> {
        match self.value(name)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(UsageError(format!(
                    "{name}: expected a whole number, found '{text}'"
                ))
                .into()),
            },
        }
    }

    /// Refuses two options that contradict each other.
    pub(crate) fn conflict(&self, both: bool, what: &str) -> anyhow::Result<()> {
        if both {
            return Err(
                UsageError(format!("{what} contradict each other\n\n{}", self.help)).into(),
            );
        }
        Ok(())
    }

    /// Refuses whatever is left.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => {
                Err(UsageError(format!("unexpected argument '{word}'\n\n{}", self.help)).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned).collect(), "help")
    }

    #[test]
    fn takes_flags_and_values_in_any_order() {
        let mut a = args("--seed 7 --full --out=runs/x");
        assert!(a.flag("--full"));
        assert_eq!(a.value("--out").unwrap().as_deref(), Some("runs/x"));
        assert_eq!(a.number("--seed").unwrap(), Some(7));
        assert_eq!(a.number("--images").unwrap(), None);
        a.finish().unwrap();
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(args("--seed").number("--seed").is_err());
        let error = args("--seed many").number("--seed").unwrap_err();
        assert!(error.to_string().contains("'many'"));
        let error = args("--frobnicate").finish().unwrap_err();
        assert!(error.to_string().contains("--frobnicate"));
    }
}
