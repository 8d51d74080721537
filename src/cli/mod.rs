//! The command line: what can be asked of the program. Must never know how it is done.

use clap::{Parser, Subcommand};

use crate::server::config::{RawConfig, VALUES_HELP};

/// File uploads whose progress is true.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the upload page and take uploads, until told to stop by SIGTERM or Ctrl-C.
    ///
    /// Prints its URL on standard output when it listens. Every option can also be given by the environment variable
    /// named beside it; the command line comes first.
    #[command(after_long_help = VALUES_HELP, after_help = VALUES_HELP)]
    Serve(Box<RawConfig>),
}
