//! C\[k\]\[t\], the smallest cost of any path with k steps that ends at t, for all k and t.

/// Rows that begin at the same node. The blocked solver reads `GROUP` rows at a time over one common range of nodes.
pub(crate) const GROUP: usize = 64;

/// The costs of every budget k = 0..=K at every end t = 0..=T, one row per budget.
///
/// A path with k steps cannot end before node k, so that row k is stored from `first(k)` <= k only; the entries from
/// there to k are `+inf`. Row 0 says that a path begins at node 0: it is 0 there and `+inf` elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BudgetCosts {
    train_steps: usize,
    rows: Vec<Vec<f64>>,
}

impl BudgetCosts {
    /// Rows 0..=`max_steps`, `+inf` throughout but for the beginning of row 0.
    pub(crate) fn new(train_steps: usize, max_steps: usize) -> Self {
        let mut rows: Vec<Vec<f64>> = (0..=max_steps)
            .map(|k| vec![f64::INFINITY; train_steps + 1 - first(k)])
            .collect();
        rows[0][0] = 0.0;
        Self { train_steps, rows }
    }

    pub(crate) fn train_steps(&self) -> usize {
        self.train_steps
    }

    pub(crate) fn max_steps(&self) -> usize {
        self.rows.len() - 1
    }

    /// C\[k\]\[t\]; `+inf` for a budget or an end that does not exist.
    pub(crate) fn get(&self, k: usize, t: usize) -> f64 {
        let row = self.rows.get(k).map_or(&[][..], Vec::as_slice);
        let entry = t.checked_sub(first(k)).and_then(|i| row.get(i));
        entry.copied().unwrap_or(f64::INFINITY)
    }

    /// C\[k\]\[k..=T\], for k <= K.
    pub(crate) fn row(&self, k: usize) -> &[f64] {
        &self.rows[k][k - first(k)..]
    }

    /// The same, to be written.
    pub(crate) fn row_mut(&mut self, k: usize) -> &mut [f64] {
        &mut self.rows[k][k - first(k)..]
    }
}

/// The first node that row k stores: the first k of its group.
fn first(k: usize) -> usize {
    k - k % GROUP
}
