//! What can be wrong with a cost table, a start or the options of a solve.

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The largest magnitude of a finite cost; sums along any path then stay finite.
pub(crate) const MAX_COST: f64 = 1e300;

/// A request that cannot be solved as given.
///
/// An impossible budget is not an error: its cost is `+inf` and its path `None`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// T is 0 or larger than [`crate::CostTable::MAX_TRAIN_STEPS`].
    #[error("number of training steps T: expected 1..={max}, found {found}")]
    TrainSteps {
        /// The T that was asked for.
        found: usize,
        /// The largest T a table can hold.
        max: usize,
    },
    /// The array is not (T+1)x(T+1).
    #[error("cost table: expected a square (T+1)x(T+1) array, found {rows}x{columns}")]
    NotSquare {
        /// Number of rows (index t).
        rows: usize,
        /// Number of columns (index s).
        columns: usize,
    },
    /// The cost of an edge is NaN, -inf or too large to be summed.
    #[error(
        "cost of edge (t={t}, s={s}): expected a number of magnitude at most {limit:e}, or +inf for \
         no edge, found {found}",
        limit = MAX_COST
    )]
    EdgeCost {
        /// Later node of the edge.
        t: usize,
        /// Earlier node of the edge.
        s: usize,
        /// The cost found there.
        found: f64,
    },
    /// `Start::cost` or `Start::first` does not have one entry per node.
    #[error("start.{field}: expected T+1 = {expected} entries, found {found}")]
    StartLength {
        /// `cost` or `first`.
        field: &'static str,
        /// T+1.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A two-step cost is NaN, -inf or too large to be summed.
    #[error(
        "start.cost[{t}]: expected a number of magnitude at most {limit:e}, or +inf for no such path, \
         found {found}",
        limit = MAX_COST
    )]
    StartCost {
        /// The node.
        t: usize,
        /// The cost found there.
        found: f64,
    },
    /// A finite two-step cost whose first node does not lie between 0 and t.
    #[error(
        "start.first[{t}]: expected a node in 1..{t} because start.cost[{t}] is finite, found {found}"
    )]
    StartFirst {
        /// The node at the end of the two steps.
        t: usize,
        /// The first node found.
        found: usize,
    },
    /// The number of nodes of a problem of second or third order is 0 or too large.
    #[error("last node N: expected 1..={max}, found {found}")]
    Nodes {
        /// The N that was asked for.
        found: usize,
        /// The largest N.
        max: usize,
    },
    /// The cost of a step given the one before is NaN, -inf or too large to be summed.
    #[error(
        "cost of step (previous={}, t={t}, s={s}): expected a number of magnitude at most {limit:e}, or +inf for no \
         step, found {found}",
        previous.map_or_else(|| "none".to_owned(), |p| p.to_string()),
        limit = MAX_COST
    )]
    TripleCost {
        /// The node before t; `None` for the first step of a path.
        previous: Option<usize>,
        /// Where the step begins.
        t: usize,
        /// Where it ends.
        s: usize,
        /// The cost found there.
        found: f64,
    },
    /// The same of a cost that depends on two nodes before.
    #[error(
        "cost of step (before={}, t={t}, s={s}): expected a number of magnitude at most {limit:e}, or +inf for no \
         step, found {found}",
        in_words(before),
        limit = MAX_COST
    )]
    QuadrupleCost {
        /// The nodes before t, the nearest first.
        before: [Option<usize>; 2],
        /// Where the step begins.
        t: usize,
        /// Where it ends.
        s: usize,
        /// The cost found there.
        found: f64,
    },
    /// `max_steps` is 0 or larger than T.
    #[error("max_steps: expected 1..={train_steps} (at most T), found {found}")]
    MaxSteps {
        /// The budget that was asked for.
        found: usize,
        /// T of the table.
        train_steps: usize,
    },
    /// [`crate::Method::Monge`] was asked for on a table that is not Monge.
    #[error(
        "method monge: expected L(t,s) + L(t+1,s+1) <= L(t,s+1) + L(t+1,s) for 1 <= s < s+1 < t, found \
         it violated by {violation:e} at t={t}, s={s}; use method auto or blocked"
    )]
    NotMonge {
        /// Earlier row of the worst quadruple.
        t: usize,
        /// Earlier column of the worst quadruple.
        s: usize,
        /// By how much the inequality fails (`+inf` where an edge is missing).
        violation: f64,
    },
}

/// The budgets to solve for, all where none is asked for: `last_node` is in 1..=`max`, they are in 1..=`last_node`.
pub(crate) fn checked_size(
    last_node: usize,
    max_steps: Option<usize>,
    max: usize,
) -> Result<usize> {
    if !(1..=max).contains(&last_node) {
        return Err(Error::Nodes {
            found: last_node,
            max,
        });
    }
    let max_steps = max_steps.unwrap_or(last_node);
    if !(1..=last_node).contains(&max_steps) {
        return Err(Error::MaxSteps {
            found: max_steps,
            train_steps: last_node,
        });
    }
    Ok(max_steps)
}

/// `none`, or the nodes, the nearest first.
fn in_words(before: &[Option<usize>; 2]) -> String {
    let nodes: Vec<String> = before.iter().flatten().map(usize::to_string).collect();
    if nodes.is_empty() {
        "none".to_owned()
    } else {
        nodes.join(",")
    }
}
