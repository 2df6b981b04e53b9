//! What a command may do to a file that is where its output goes.

use clap::Args;

/// The flag of every command that writes a file.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// Replace a file that is there, whatever it is [default: only the result of this very command]
    #[arg(long)]
    pub(crate) force: bool,
}
