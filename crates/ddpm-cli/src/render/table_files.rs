//! Tables as files for other programs: CSV, and LaTeX for papers.

use super::table::{Align, TextTable};

/// Between a number and its standard error in a cell.
const ERROR: &str = " ± ";

impl TextTable {
    /// Comma-separated values with a line of heads. Standard errors have columns of their own.
    pub(crate) fn csv(&self) -> String {
        let rows = || self.rows.iter().flatten();
        let has_error = |j: usize| rows().any(|row| row.get(j).is_some_and(|c| c.contains(ERROR)));
        let columns: Vec<bool> = (0..self.heads.len()).map(has_error).collect();
        let line = |cells: Vec<String>| cells.join(",") + "\n";
        let heads = self.heads.iter().zip(&columns);
        let heads = heads.flat_map(|((head, _), has_error)| {
            let error = has_error.then(|| quoted(&format!("{head} standard error")));
            std::iter::once(quoted(head)).chain(error)
        });
        let mut text = line(heads.collect());
        for row in rows() {
            let cells = columns.iter().enumerate().flat_map(|(j, has_error)| {
                let cell = row.get(j).map_or("", String::as_str);
                let (value, error) = cell.split_once(ERROR).unwrap_or((cell, ""));
                std::iter::once(quoted(value)).chain(has_error.then(|| quoted(error)))
            });
            text += &line(cells.collect());
        }
        text
    }

    /// A table of LaTeX that needs no package; titles are its caption, notes stand below.
    pub(crate) fn latex(&self) -> String {
        let columns: String = self
            .heads
            .iter()
            .map(|(_, align)| match align {
                Align::Left => 'l',
                Align::Right => 'r',
            })
            .collect();
        let line = |cells: Vec<String>| format!("  {} \\\\\n", cells.join(" & "));
        let heads = self.heads.iter().map(|(head, _)| in_latex(head));
        let mut text = format!(
            "\\begin{{table}}\n\\caption{{{}}}\n\\begin{{tabular}}{{{columns}}}\n  \\hline\n{}  \\hline\n",
            in_latex(&self.title.join(". ")),
            line(heads.collect())
        );
        for (i, row) in self.rows.iter().enumerate() {
            text += &match row {
                None => "  \\hline\n".to_owned(),
                Some(row) => {
                    let cells = row.iter().enumerate();
                    let cells = cells.map(|(j, cell)| match self.is_bold(i, j) {
                        true => format!("\\textbf{{{}}}", in_latex(cell)),
                        false => in_latex(cell),
                    });
                    line(cells.collect())
                }
            };
        }
        let notes = self.notes.iter().filter(|note| !note.is_empty());
        let notes: Vec<String> = notes.map(|note| in_latex(note)).collect();
        text + &format!(
            "  \\hline\n\\end{{tabular}}\n\n{}\n\\end{{table}}\n",
            notes.join(" ")
        )
    }
}

/// A field that may hold commas, quotes and lines.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn in_latex(text: &str) -> String {
    let letter = |c: char| match c {
        '\\' => "\\textbackslash{}".to_owned(),
        '~' => "\\textasciitilde{}".to_owned(),
        '^' => "\\textasciicircum{}".to_owned(),
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
        '±' => "$\\pm$".to_owned(),
        '<' => "$<$".to_owned(),
        '>' => "$>$".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TextTable {
        let mut table = TextTable::new("file | bits/dim:").title("50% of a_b");
        table.row(["a, \"b\"".into(), "4.5 ± 0.1".into()]);
        table.bold([false, true]);
        table.gap();
        table.row(["c".into(), "-".into()]);
        table.note("± one standard error");
        table
    }

    #[test]
    fn errors_have_columns_of_their_own() {
        assert_eq!(
            table().csv(),
            "file,bits/dim,bits/dim standard error\n\"a, \"\"b\"\"\",4.5,0.1\nc,-,\n"
        );
    }

    #[test]
    fn latex_is_escaped_and_keeps_what_is_bold() {
        assert_eq!(
            table().latex(),
            "\\begin{table}\n\\caption{50\\% of a\\_b}\n\\begin{tabular}{lr}\n  \\hline\n  file & bits/dim \\\\\n  \\hline\n  a, \"b\" & \\textbf{4.5 $\\pm$ 0.1} \\\\\n  \\hline\n  c & - \\\\\n  \\hline\n\\end{tabular}\n\n$\\pm$ one standard error\n\\end{table}\n"
        );
    }
}
