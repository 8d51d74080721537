//! The `plimsoll` program: arguments, logging, serve until told to stop; no logic of its own.

use std::{io, process::ExitCode};

use clap::Parser;
use plimsoll::{
    app,
    cli::{Cli, Command},
    server::{
        Server,
        config::{Config, RawConfig},
        listen, steps,
    },
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(raw) => serve(*raw),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Every cause on a line of its own: the last is what a person can do something about.
            eprintln!("plimsoll: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(raw: RawConfig) -> anyhow::Result<()> {
    let config = Config::check(raw)?;
    let _provoked = steps::set_up();
    // Standard output is for the URL, so that a script can read it.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log)?)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .init();
    if let Err(error) = listen::raise_file_limit() {
        tracing::warn!(%error, "no more files than usual can be open");
    }
    let runtime = listen::runtime()?;
    runtime.block_on(async {
        let stop = listen::stop_signal()?;
        listen::outlive_file_size_limit()?;
        let listener = listen::Listener::open(&config)?;
        let site = config.site.clone();
        let server = Server::open(config).await?;
        let app = app::serve::router(&server, &site);
        println!("Plimsoll listens on {}", listener.url()?);
        listen::serve(listener, app, server, stop).await;
        Ok(())
    })
}
