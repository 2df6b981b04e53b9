//! Plain text tables: a title, column heads, aligned cells. Colour is not used, so nothing is lost
//! in a file or a pipe.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::quoting::escape;

/// Which side of a column its cells keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table under construction.
#[derive(Debug)]
pub(crate) struct TextTable {
    pub(super) title: Vec<String>,
    pub(super) heads: Vec<(String, Align)>,
    pub(super) rows: Vec<Option<Vec<String>>>,
    /// Cells that stand out, (row, column): on a page and in LaTeX, never in plain text.
    bold: BTreeSet<(usize, usize)>,
    pub(super) notes: Vec<String>,
}

impl TextTable {
    /// A table with these column heads, between bars; a column whose head ends with a colon is aligned right, as in Markdown.
    pub(crate) fn new(heads: &str) -> Self {
        Self::of_columns(heads.split(" | ").map(|head| match head.strip_suffix(':') {
            Some(head) => (head, Align::Right),
            None => (head, Align::Left),
        }))
    }

    /// A table whose column heads may be any text.
    pub(crate) fn of_columns<'a>(heads: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self {
            title: Vec::new(),
            heads: heads.into_iter().map(|(h, a)| (h.to_owned(), a)).collect(),
            rows: Vec::new(),
            bold: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a line above the table.
    pub(crate) fn title(mut self, line: impl Into<String>) -> Self {
        self.title.push(line.into());
        self
    }

    /// Adds a row; missing cells at its end are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Some(cells.into_iter().collect()));
    }

    /// Says which cells of the last row stand out.
    pub(crate) fn bold(&mut self, cells: impl IntoIterator<Item = bool>) {
        let row = self.rows.len().saturating_sub(1);
        let columns = cells.into_iter().enumerate().filter(|(_, bold)| *bold);
        self.bold.extend(columns.map(|(column, _)| (row, column)));
    }

    pub(super) fn is_bold(&self, row: usize, column: usize) -> bool {
        self.bold.contains(&(row, column))
    }

    /// Adds an empty line between groups of rows.
    pub(crate) fn gap(&mut self) {
        self.rows.push(None);
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// Adds lines below the table, if there are any.
    pub(crate) fn notes(&mut self, lines: impl IntoIterator<Item = impl Into<String>>) {
        self.notes.extend(lines.into_iter().map(Into::into));
    }

    /// The same table as HTML: groups of rows are table bodies, titles and notes paragraphs.
    pub(crate) fn html(&self) -> String {
        let paragraphs = |lines: &[String], class: &str| -> String {
            lines
                .iter()
                .filter(|line| !line.is_empty())
                .map(|line| format!("<p class=\"{class}\">{}</p>\n", escape(line)))
                .collect()
        };
        let class = |i: usize| match self.heads.get(i) {
            Some((_, Align::Right)) => " class=\"n\"",
            _ => "",
        };
        let heads: String = self
            .heads
            .iter()
            .enumerate()
            .map(|(i, (head, _))| format!("<th scope=\"col\"{}>{}</th>", class(i), escape(head)))
            .collect();
        let cell = |row: usize, column: usize, cell: &String| {
            let (class, text) = (class(column), escape(cell));
            match self.is_bold(row, column) {
                true => format!("<td{class}><b>{text}</b></td>"),
                false => format!("<td{class}>{text}</td>"),
            }
        };
        let mut bodies = "<tbody>\n".to_owned();
        for (i, row) in self.rows.iter().enumerate() {
            bodies += &match row {
                None => "</tbody>\n<tbody>\n".to_owned(),
                Some(row) => {
                    let cells = row.iter().enumerate();
                    let cells: String = cells.map(|(j, text)| cell(i, j, text)).collect();
                    format!("<tr>{cells}</tr>\n")
                }
            };
        }
        bodies += "</tbody>\n";
        format!(
            "{}<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>{heads}</tr></thead>\n{bodies}</table></div>\n{}",
            paragraphs(&self.title, "about"),
            paragraphs(&self.notes, "note")
        )
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| width(head)).collect();
        for row in self.rows.iter().flatten() {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(cell));
            }
        }
        widths
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.title {
            writeln!(f, "{line}")?;
        }
        if !self.title.is_empty() {
            writeln!(f)?;
        }
        let widths = self.widths();
        let aligns: Vec<Align> = self.heads.iter().map(|(_, align)| *align).collect();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| head.clone()).collect();
        for row in std::iter::once(&Some(heads)).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &w), align) in row.iter().flatten().zip(&widths).zip(&aligns) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let pad = " ".repeat(w - width(cell));
                match align {
                    Align::Left => write!(line, "{cell}{pad}")?,
                    Align::Right => write!(line, "{pad}{cell}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        for line in &self.notes {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// Width on a terminal; our cells hold no wide or combining characters.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new("stride | bits/dim:").title("Some numbers");
        table.row(["even".into(), "10.123 ± 0.1".into()]);
        table.row(["quadratic".into(), "5.2".into()]);
        table.note("± one standard error");
        assert_eq!(
            table.to_string(),
            "Some numbers\n\n\
             stride         bits/dim\n\
             even       10.123 ± 0.1\n\
             quadratic           5.2\n\n\
             ± one standard error\n"
        );
    }

    #[test]
    fn html_keeps_groups_and_escapes_cells() {
        let mut table = TextTable::new("a | b:").title("x < y");
        table.row(["<i>".into(), "1".into()]);
        table.gap();
        table.row(["2".into(), "3".into()]);
        table.bold([false, true]);
        let html = table.html();
        assert!(html.contains("<td>2</td><td class=\"n\"><b>3</b></td>"));
        assert!(html.contains("<td>&lt;i&gt;</td><td class=\"n\">1</td>"));
        assert!(html.contains("x &lt; y") && !html.contains("<i>"));
        assert_eq!(html.matches("<tbody>").count(), 2);
    }
}
