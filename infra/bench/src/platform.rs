//! `jetmill serve`, as a table measures it: the same settings whatever the row.

use std::path::PathBuf;
use std::time::Duration;

use crate::peer::MODEL_NAME;
use crate::served_process::ServerCommand;

/// The binaries of the platform.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The jetmill binary.
    pub jetmill: PathBuf,
    /// The broker's.
    pub nats_server: PathBuf,
    /// Compute threads.
    pub num_threads: usize,
    /// Memory for keys and values.
    pub kv_cache_mib: usize,
}

impl Platform {
    /// Serves a model without speculation, and with everything else as it comes.
    #[must_use]
    pub fn serve(&self, model: PathBuf) -> ServerCommand {
        let mut arguments: Vec<String> =
            ["serve", "--listen", "{address}", "--data", "{folder}/data", "--model-name", MODEL_NAME]
                .map(str::to_owned)
                .to_vec();
        let settings = [
            ("--model", model.display().to_string()),
            ("--nats-server", self.nats_server.display().to_string()),
            ("--num-threads", self.num_threads.to_string()),
            ("--kv-cache-mib", self.kv_cache_mib.to_string()),
            // The others compute one token of an answer at a time, and answers to random prompts repeat themselves.
            ("--speculative-method", "none".to_owned()),
        ];
        arguments.extend(settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        ServerCommand {
            program: self.jetmill.clone(),
            arguments,
            ready_path: "/health/readiness",
            model: MODEL_NAME.to_owned(),
            patience: Duration::from_secs(120),
        }
    }
}
