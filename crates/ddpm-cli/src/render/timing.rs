//! Where the time of the network went, for `DDPM_TIMING=1`.

use std::time::Duration;

use ddpm_model::{OperationTime, operation_times};

use super::table::TextTable;
use crate::output;

/// Prints the table to stderr; nothing unless time was taken.
pub(crate) fn report() {
    let times = operation_times();
    if times.is_empty() {
        return;
    }
    let total: Duration = times.iter().map(|time| time.total).sum();
    let mut table = TextTable::new("operation | calls: | ms per call: | ms in all: | share:")
        .title("Time in each operation of the network, packing of weights and loading left out");
    for OperationTime {
        operation,
        calls,
        total: time,
        ..
    } in &times
    {
        let ms = time.as_secs_f64() * 1e3;
        table.row([
            operation.clone(),
            calls.to_string(),
            format!("{:.3}", ms / *calls as f64),
            format!("{ms:.1}"),
            format!("{:.1}%", 100.0 * time.as_secs_f64() / total.as_secs_f64()),
        ]);
    }
    output::say(format_args!("{table}"));
}
