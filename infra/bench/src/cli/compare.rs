//! `bench compare`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bench::compare::{
    Comparison, Contender, Figures, FirstToken, first_token, first_token_table, throughput, throughput_table,
};
use bench::engine_target::EngineTarget;
use bench::http_target::HttpTarget;
use bench::peer::PeerShelf;
use bench::served_process::{ServedProcess, ServerCommand};
use bench::target::Target;
use serde::Serialize;

use super::run_arguments::RunArguments;

/// What is compared over which work.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArguments {
    /// The model, a GGUF file: the same for every target.
    #[arg(long)]
    model: PathBuf,
    /// The repository's root, for the peers' scripts and cache.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    /// Leave llama.cpp's server out.
    #[arg(long)]
    without_llama_cpp: bool,
    /// Numbers of streams, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    streams: Vec<usize>,
    /// Length of each prompt.
    #[arg(long, default_value_t = 256)]
    prompt_tokens: usize,
    /// Tokens generated for each.
    #[arg(long, default_value_t = 128)]
    output_tokens: u32,
    /// Requests for each stream in a round.
    #[arg(long, default_value_t = 2)]
    requests_per_stream: usize,
    /// How often the targets take turns; figures are medians over the rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many single short answers the first-token comparison takes from each target.
    #[arg(long, default_value_t = 100)]
    first_tokens: usize,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Serialize)]
struct Report {
    throughput: Vec<Figures>,
    first_token: Vec<FirstToken>,
}

pub(crate) async fn run(arguments: CompareArguments) -> anyhow::Result<bool> {
    let mut servers = Vec::new();
    super::progress("loading the engine")?;
    let engine = EngineTarget::load(&arguments.model, arguments.run.threads).await?;
    let mut contenders = vec![Contender { name: "engine alone".to_owned(), target: Target::Engine(engine) }];
    super::progress("starting jetmill serve")?;
    let platform = ServedProcess::start(&arguments.platform_command()).await?;
    contenders.push(contender("jetmill serve (HTTP, JetStream)", &platform).await?);
    servers.push(platform);
    if !arguments.without_llama_cpp {
        super::progress("starting llama.cpp's server (installed at first use)")?;
        let command = arguments.llama_cpp_command();
        install(&arguments.repository)?;
        let llama_cpp = ServedProcess::start(&command).await?;
        contenders.push(contender("llama.cpp server", &llama_cpp).await?);
        servers.push(llama_cpp);
    }
    let measured = measure(&arguments, &contenders).await;
    for server in servers {
        server.stop().await.context("cannot stop a server")?;
    }
    let report = measured?;
    super::print(&format!(
        "{}\n{}",
        throughput_table(&report.throughput),
        first_token_table(&report.first_token)
    ))?;
    super::write_json(arguments.run.json.as_deref(), &report)?;
    Ok(report.throughput.iter().all(|figures| figures.num_failed == 0))
}

async fn measure(arguments: &CompareArguments, contenders: &[Contender]) -> anyhow::Result<Report> {
    let comparison = Comparison {
        num_streams: arguments.streams.clone(),
        num_prompt_tokens: arguments.prompt_tokens,
        num_output_tokens: arguments.output_tokens,
        num_requests_per_stream: arguments.requests_per_stream,
        num_rounds: arguments.rounds,
        seed: arguments.run.seed,
    };
    super::progress("warming up and measuring first tokens")?;
    let first_token = first_token(contenders, arguments.first_tokens, !arguments.run.seed).await;
    let first_token = first_token.map_err(anyhow::Error::msg)?;
    super::progress("measuring throughput")?;
    Ok(Report { throughput: throughput(&comparison, contenders).await, first_token })
}

async fn contender(name: &str, server: &ServedProcess) -> anyhow::Result<Contender> {
    let target = HttpTarget::connect(server.url(), None, None)
        .await
        .with_context(|| format!("{name} started, and then: {}", server.log_end()))?;
    Ok(Contender { name: name.to_owned(), target: Target::Http(target) })
}

/// Installs the peer beforehand, so that a slow download is not taken for a server that doesn't start.
fn install(repository: &Path) -> anyhow::Result<()> {
    let script = repository.join("infra/bench/peers/install.py");
    let status = std::process::Command::new("python3").arg(script).arg("xllamacpp").status()?;
    anyhow::ensure!(
        status.success(),
        "llama.cpp's server could not be installed; leave it out with --without-llama-cpp"
    );
    Ok(())
}

impl CompareArguments {
    fn platform_command(&self) -> ServerCommand {
        let platform = self.run.platform(1024);
        platform.serve(self.model.clone())
    }

    fn llama_cpp_command(&self) -> ServerCommand {
        let shelf = PeerShelf { repository: self.repository.clone(), num_threads: self.run.threads };
        let num_slots = self.streams.iter().copied().max().unwrap_or(1);
        let num_context_tokens = self.prompt_tokens + self.output_tokens as usize + 64;
        shelf.xllamacpp(&self.model, num_slots, num_context_tokens)
    }
}
