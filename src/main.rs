//! The `ddpm` command. Everything it does lives in `ddpm-cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ddpm_cli::run()
}
