//! One look for one thing: the colour, dash and mark of every stride and of every variance, the same in every figure and on every page.
//!
//! Colours are told apart by most colour-blind readers; dash and mark tell the same without any. `page.css` has a second set for dark screens.

use ddpm_core::VarianceKind;

/// How a series is drawn, wherever it stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(super) colour: &'static str,
    /// In the form of SVG; empty for a solid line.
    pub(super) dash: &'static str,
    pub(super) mark: Mark,
    pub(super) filled: bool,
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Hourglass,
}

use Mark::{Circle, Diamond, Hourglass, Square, Triangle, Wedge};

const BLUE: &str = "#0b5cad";
const VERMILION: &str = "#c4441c";
const GREEN: &str = "#2c7a4b";
const PURPLE: &str = "#7a3b96";
const OCHRE: &str = "#8a6d00";
const GREY: &str = "#555555";
const TEAL: &str = "#007a8a";
const PINK: &str = "#b3206e";
const BROWN: &str = "#7d4a1e";
const INDIGO: &str = "#4b58c8";

/// Every colour of a series.
#[cfg(test)]
pub(crate) const COLOURS: [&str; 10] = [
    BLUE, VERMILION, GREEN, PURPLE, OCHRE, GREY, TEAL, PINK, BROWN, INDIGO,
];

const fn look(colour: &'static str, dash: &'static str, mark: Mark, filled: bool) -> Look {
    Look {
        colour,
        dash,
        mark,
        filled,
    }
}

/// The look of a stride, by its name in a table of results.
pub(crate) fn of_stride(stride: &str) -> Look {
    match stride {
        "dp" => look(BLUE, "", Circle, true),
        "dp-free" => look(TEAL, "12 4", Wedge, true),
        "quadratic" => look(VERMILION, "7 3", Square, false),
        "even" => look(GREEN, "2 3", Triangle, true),
        _ => ALL,
    }
}

/// The look of the full chain, which other lines are compared with.
pub(crate) const ALL: Look = look(GREY, "5 4", Diamond, false);

/// The look of a variance. The network's own has that of optimal schedules, since its curve is the same one.
pub(crate) fn of_variance(variance: VarianceKind) -> Look {
    match variance {
        VarianceKind::Learned => look(BLUE, "", Circle, true),
        VarianceKind::FixedSmall => look(OCHRE, "7 3", Square, false),
        VarianceKind::FixedLarge => look(BROWN, "2 3", Triangle, true),
        VarianceKind::Analytic => look(PURPLE, "9 3 2 3", Diamond, false),
        VarianceKind::Spectral => look(PINK, "12 4", Wedge, true),
        VarianceKind::LearnedCalibrated => look(INDIGO, "1 4", Hourglass, false),
        VarianceKind::Best => look(GREEN, "9 3 2 3 2 3", Circle, false),
    }
}

/// So many series without a look of their own differ in black and white.
pub(crate) const MOST_SERIES: usize = 12;

/// The look of the i-th of series that are known by nothing else, such as numbers of steps.
pub(crate) fn nth(i: usize) -> Look {
    const COLOURS: [&str; 6] = [BLUE, VERMILION, GREEN, PURPLE, OCHRE, GREY];
    const DASHES: [&str; MOST_SERIES] = [
        "",
        "7 3",
        "2 3",
        "9 3 2 3",
        "12 4",
        "1 4",
        "5 5",
        "9 3 2 3 2 3",
        "16 3",
        "3 2 1 2",
        "12 3 4 3",
        "6 2 6 7",
    ];
    const MARKS: [Mark; 6] = [Circle, Square, Triangle, Diamond, Wedge, Hourglass];
    look(
        COLOURS[i % COLOURS.len()],
        DASHES[i % DASHES.len()],
        MARKS[i % MARKS.len()],
        // Six marks, filled and hollow in turn; the next six are the same, hollow and filled.
        (i + i / MARKS.len()).is_multiple_of(2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without colour, as a printer or a reader sees them.
    fn without_colour(look: Look) -> (String, String) {
        (
            look.dash.to_owned(),
            format!("{:?} {}", look.mark, look.filled),
        )
    }

    fn check_distinct(looks: &[Look]) {
        let (dashes, marks): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
            looks.iter().map(|look| without_colour(*look)).unzip();
        assert_eq!((dashes.len(), marks.len()), (looks.len(), looks.len()));
    }

    #[test]
    fn what_one_figure_shows_differs_in_black_and_white() {
        check_distinct(&(0..MOST_SERIES).map(nth).collect::<Vec<_>>());
        check_distinct(&["dp", "dp-free", "quadratic", "even", "all"].map(of_stride));
        let variances: Vec<Look> = VarianceKind::ALL.iter().map(|v| of_variance(*v)).collect();
        check_distinct(&variances);
        let colours: std::collections::BTreeSet<_> = variances.iter().map(|l| l.colour).collect();
        assert_eq!(colours.len(), variances.len());
    }
}
