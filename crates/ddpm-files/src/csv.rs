//! Curves over timesteps as comma separated columns.

/// What is wrong with a column, with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CsvError(String);

/// One number per timestep t = 1..T from a column of a CSV text.
///
/// Lines that begin with `#` are comments. With a head line the column is found by name and a column `t`, where there is one, must
/// count 1, 2, .., T. Without a head line the text has the column alone, or t and the column.
///
/// # Errors
/// No such column, a cell that is no number, a timestep out of order, or no line at all.
pub fn column(text: &str, column: &str) -> Result<Vec<f64>, CsvError> {
    parse_column(text, column).map_err(CsvError)
}

fn parse_column(text: &str, column: &str) -> Result<Vec<f64>, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let Some(&(_, first)) = lines.peek() else {
        return Err(format!("expected a column `{column}`, found no line"));
    };
    let (t_at, at) = if cells(first).all(|cell| cell.parse::<f64>().is_ok()) {
        match cells(first).count() {
            1 => (None, 0),
            2 => (Some(0), 1),
            n => {
                return Err(format!(
                    "expected a head line that names column `{column}`, found {n} columns without names"
                ));
            }
        }
    } else {
        let find = |name: &str| cells(first).position(|cell| cell.eq_ignore_ascii_case(name));
        let at = find(column)
            .ok_or_else(|| format!("expected a column `{column}`, found columns {first}"))?;
        lines.next();
        (find("t"), at)
    };
    let mut values = Vec::new();
    for (number, line) in lines {
        let cell = |index: usize, name: &str| {
            cells(line)
                .nth(index)
                .unwrap_or_default()
                .parse::<f64>()
                .map_err(|_| {
                    format!("line {number}, column `{name}`: expected a number, found {line:?}")
                })
        };
        let t = values.len() + 1;
        if let Some(index) = t_at {
            let found = cell(index, "t")?;
            if found != t as f64 {
                return Err(format!(
                    "line {number}, column `t`: expected {t} (every timestep from 1 to T in order), found {found}"
                ));
            }
        }
        values.push(cell(at, column)?);
    }
    if values.is_empty() {
        return Err(format!(
            "column `{column}`: expected one number per timestep, found none"
        ));
    }
    Ok(values)
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_column() {
        let text = "# a comment\nt,alpha_bar,mse\n1,0.9,0.1\n2,0.8,0.2\n";
        assert_eq!(parse_column(text, "mse").unwrap(), [0.1, 0.2]);
        assert_eq!(parse_column(text, "alpha_bar").unwrap(), [0.9, 0.8]);
        assert_eq!(parse_column("1,0.1\n2,0.2", "mse").unwrap(), [0.1, 0.2]);
        assert_eq!(parse_column("0.1\n0.2", "mse").unwrap(), [0.1, 0.2]);
    }

    #[test]
    fn names_line_and_column() {
        for (text, named) in [
            ("", "no line"),
            ("t,mse\n", "found none"),
            ("t,error\n1,2\n", "`mse`"),
            ("t,mse\n1,x\n", "line 2, column `mse`"),
            ("t,mse\n1\n", "line 2, column `mse`"),
            ("t,mse\n0,1\n", "expected 1"),
            ("t,mse\n1,1\n3,1\n", "line 3, column `t`: expected 2"),
            ("1,2,3\n", "3 columns without names"),
        ] {
            let message = parse_column(text, "mse").unwrap_err();
            assert!(message.contains(named), "{text:?}: {message}");
        }
    }
}
