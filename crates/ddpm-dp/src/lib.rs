//! Exact all-budget dynamic programming over any decomposable cost table.
