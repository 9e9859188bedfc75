//! What every command takes that starts `jetmill serve`.

use std::path::PathBuf;

use bench::platform::Platform;

/// The binaries, the compute threads, the seed and the place of the figures.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// The jetmill binary, built with --release.
    #[arg(long, default_value = "target/release/jetmill")]
    pub(crate) jetmill: PathBuf,
    /// The broker's binary.
    #[arg(long, default_value = ".jetmill/bin/nats-server")]
    pub(crate) nats_server: PathBuf,
    /// Compute threads of each engine.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Determines all prompts.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also write the figures here, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl RunArguments {
    /// The platform with so much memory for keys and values.
    pub(crate) fn platform(&self, kv_cache_mib: usize) -> Platform {
        Platform {
            jetmill: self.jetmill.clone(),
            nats_server: self.nats_server.clone(),
            num_threads: self.threads,
            kv_cache_mib,
        }
    }
}
