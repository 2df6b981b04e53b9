//! Which solver runs, and what a solve can say about the table.

use crate::monge_check::MongeReport;

/// Which solver to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Monge`] where the table proves that it gives the same floats and paths as the plain recurrence,
    /// [`Method::Blocked`] otherwise. Nothing is assumed: every adjacent quadruple is checked, and must fulfil the
    /// Monge inequality with more room than rounding can take away.
    #[default]
    Auto,
    /// Blocked min-plus products: any table, T^3 / 6 additions at vector speed.
    Blocked,
    /// Divide and conquer over monotone argmins, O(T^2 log T): tables whose interior is Monge up to rounding, that is
    /// whose violations do not exceed 8 machine epsilons times the largest cost in a quadruple. The costs are then
    /// those of real paths, optimal up to the same rounding; [`Certificate::exact`] says whether they are proved
    /// optimal to the last bit. Tables with larger violations or missing edges between nodes >= 1 are refused.
    Monge,
}

/// How a [`crate::Solution`] was found and which regularities were seen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// The solver that ran: [`Method::Blocked`] or [`Method::Monge`], never [`Method::Auto`].
    pub method: Method,
    /// Whether the costs are proved to be, bit for bit, the minima of the recurrence. Always so but for
    /// [`Method::Monge`] on a table that is Monge up to rounding only.
    pub exact: bool,
    /// The check of the table; `None` when blocked was asked for and nothing was checked.
    pub monge: Option<MongeReport>,
}
