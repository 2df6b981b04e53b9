//! Commands that write down the command line itself, for shells and for `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::outputs::OutputArgs;

/// Print completions for a shell
///
/// Made from the same data as --help. Pick the line of your shell below, then open a new one.
#[derive(Args, Debug)]
#[command(after_help = "\
Example (bash, with the package bash-completion):
  ddpm completions bash > ~/.local/share/bash-completion/completions/ddpm

Other shells:
  ddpm completions bash >> ~/.bashrc                             bash without that package
  ddpm completions zsh > ~/.zfunc/_ddpm                          a folder of $fpath (see below)
  ddpm completions fish > ~/.config/fish/completions/ddpm.fish
  ddpm completions powershell >> $PROFILE
  ddpm completions elvish > ~/.config/elvish/lib/ddpm-cli.elv    and `use ddpm-cli` in rc.elv

Folders have to exist (mkdir -p). zsh needs `fpath=(~/.zfunc $fpath)` above compinit in .zshrc.")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Print the manual as one page, or write a page for every command
///
/// Made from the same data as --help.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm man | man -l -                          read it, every command on one page
  ddpm man --out ~/.local/share/man/man1       install it: `man ddpm`, `man ddpm-profile`")]
pub(crate) struct Man {
    /// Write ddpm.1 and a page for every command into this folder, instead of printing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
}
