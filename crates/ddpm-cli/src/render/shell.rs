//! Command lines that can be pasted into a shell.

/// The words of a command line, quoted where a shell needs it.
fn shell_words(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

/// A word as a shell takes it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// This command line with `--resume`.
pub(crate) fn command_that_resumes() -> String {
    let mut words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".to_owned());
    }
    shell_words(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_where_needed() {
        let words = ["ddpm", "profile", "my net.pt", "--path=1,2", "it's", ""].map(str::to_owned);
        assert_eq!(
            shell_words(&words),
            r"ddpm profile 'my net.pt' --path=1,2 'it'\''s' ''"
        );
    }
}
