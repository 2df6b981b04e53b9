//! Pieces of Python text.

use std::fmt::Display;

/// Width of a line of generated text.
const WIDTH: usize = 100;

/// Comment lines, wrapped between words.
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line != "#" {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

/// `open a, b, c close`, wrapped.
pub(super) fn list<T: Display>(
    open: char,
    items: impl IntoIterator<Item = T>,
    close: char,
    indent: usize,
) -> String {
    let pad = " ".repeat(indent);
    let mut text = String::from(open);
    let mut column = indent + 1;
    let mut items = items.into_iter().peekable();
    while let Some(item) = items.next() {
        let word = match items.peek() {
            Some(_) => format!("{item},"),
            None => item.to_string(),
        };
        if text.len() > 1 {
            if column + 1 + word.len() > WIDTH {
                text.push('\n');
                text.push_str(&pad);
                text.push(' ');
                column = indent + 1;
            } else {
                text.push(' ');
                column += 1;
            }
        }
        column += word.len();
        text.push_str(&word);
    }
    text.push(close);
    text
}

/// A float as Python writes it: all its digits, and never like a whole number.
pub(super) fn float(x: f64) -> String {
    format!("{x:?}")
}

/// `name = [..]` for one schedule, `name = {8: [..], ..}` for several.
pub(super) fn assignment(
    name: &str,
    lists: &[(usize, Vec<String>)],
    brackets: (char, char),
) -> String {
    match lists {
        [(_, only)] => format!(
            "{name} = {}\n",
            list(brackets.0, only, brackets.1, name.len() + 3)
        ),
        several => {
            let mut text = format!("{name} = {{\n");
            for (steps, items) in several {
                let key = format!("    {steps}: ");
                let value = list(brackets.0, items, brackets.1, key.len());
                text.push_str(&format!("{key}{value},\n"));
            }
            text + "}\n"
        }
    }
}

/// The name of one list: `name`, or `name[8]` where there are several.
pub(super) fn one_of_several(name: &str, lists: &[(usize, Vec<String>)]) -> String {
    match lists {
        [(steps, _), _, ..] => format!("{name}[{steps}]"),
        _ => name.to_owned(),
    }
}

/// The `sample()` of exports to k-diffusion.
const SAMPLE: &str = include_str!("snippets/k_diffusion.py");

/// `sample()` by one of k-diffusion's samplers, from x as `start` says.
pub(super) fn sample_with(sampler: &str, start: &str) -> String {
    SAMPLE.replace("SAMPLER", sampler).replace("START", start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words() {
        let text = comment(&"word ".repeat(60));
        assert_eq!(text.matches("word").count(), 60);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("# word"))
        );
        let text = list('[', 0..200, ']', 7);
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(
            text.lines()
                .nth(1)
                .unwrap()
                .find(|c: char| c.is_ascii_digit()),
            Some(8)
        );
    }

    #[test]
    fn floats_keep_their_digits_and_their_kind() {
        assert_eq!(float(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(float(1.0), "1.0");
        assert_eq!(float(1e-9), "1e-9");
    }

    #[test]
    fn one_schedule_is_a_list_and_several_are_a_dictionary() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(
            assignment("a", &[(2, items(2))], ('[', ']')),
            "a = [0, 1]\n"
        );
        assert_eq!(
            assignment("a", &[(1, items(1)), (2, items(2))], ('{', '}')),
            "a = {\n    1: {0},\n    2: {0, 1},\n}\n"
        );
    }
}
