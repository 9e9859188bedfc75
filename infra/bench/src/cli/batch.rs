//! `bench batch`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bench::batch_lines::BatchLines;
use bench::batch_watch::{BatchFigures, BatchWatch};
use bench::completion::{CompletionRequest, Outcome};
use bench::http_target::HttpTarget;
use bench::peer::MODEL_NAME;
use bench::prompt::PromptShape;
use bench::quantiles::Quantiles;
use bench::served_process::ServedProcess;
use bench::table::Table;
use serde::Serialize;
use tokio::process::Command;
use tokio::time::sleep;

use super::run_arguments::RunArguments;

const KV_CACHE_MIB: usize = 1024;
const PROBE_OUTPUT_TOKENS: u32 = 4;
/// A batch that is there while others ask is longer than anybody waits, and cancelled then.
const NUM_BACKGROUND_LINES: usize = 10_000;
const POLL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

/// The model, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct BatchArguments {
    /// The model, a GGUF file.
    #[arg(long)]
    model: PathBuf,
    /// Lines of the batch whose throughput is measured; 0 leaves that out.
    #[arg(long, default_value_t = 2_000)]
    lines: usize,
    /// Length of each line's prompt.
    #[arg(long, default_value_t = 32)]
    prompt_tokens: usize,
    /// Tokens generated for each line.
    #[arg(long, default_value_t = 32)]
    output_tokens: u32,
    /// How often the batch and the offline engine take turns.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Interactive requests, one after the other, without and under a full batch; 0 leaves that out.
    #[arg(long, default_value_t = 200)]
    probes: usize,
    /// Length of each of their prompts.
    #[arg(long, default_value_t = 16)]
    probe_tokens: usize,
    /// Between the end of one and the next.
    #[arg(long, default_value_t = 150)]
    probe_pause_millis: u64,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    batches: Vec<BatchFigures>,
    /// Tokens a second of the offline engine on the same lines.
    offline_tokens_per_second: Vec<f64>,
    idle_first_token: Quantiles,
    batch_first_token: Quantiles,
    cancelling_seconds: f64,
}

pub(crate) async fn run(arguments: BatchArguments) -> anyhow::Result<bool> {
    let platform = arguments.run.platform(KV_CACHE_MIB);
    super::progress("starting jetmill serve")?;
    let server = ServedProcess::start(&platform.serve(arguments.model.clone())).await?;
    let folder = tempfile::tempdir()?;
    let measured = Bench { arguments: &arguments, server: &server, folder: folder.path() }.run().await;
    let report = measured.with_context(|| format!("the end of the server's output:\n{}", server.log_end()));
    server.stop().await.context("cannot stop the server")?;
    let report = report?;
    super::print(&arguments.table(&report))?;
    super::write_json(arguments.run.json.as_deref(), &report)?;
    Ok(true)
}

struct Bench<'a> {
    arguments: &'a BatchArguments,
    server: &'a ServedProcess,
    folder: &'a Path,
}

impl Bench<'_> {
    async fn run(&self) -> anyhow::Result<Report> {
        let mut report = Report::default();
        let watch = BatchWatch::new(self.server.url(), self.server.pid());
        if self.arguments.lines > 0 {
            let file = self.folder.join("lines.jsonl");
            for round in 1..=self.arguments.rounds {
                // No round finds the prompts of another in the prefix cache.
                let lines = self.arguments.lines(self.arguments.lines);
                let seed = self.arguments.run.seed.wrapping_add((round as u64) << 32);
                BatchLines { prompts: PromptShape { seed, ..lines.prompts }, ..lines }
                    .write(&file, MODEL_NAME)?;
                super::progress(&format!("round {round}: the batch"))?;
                let began = Instant::now();
                let id = self.submit(&file).await?;
                report.batches.push(watch.see_through(&id, began).await?);
                super::progress(&format!("round {round}: the offline engine"))?;
                report.offline_tokens_per_second.push(self.offline(&file, round).await?);
            }
        }
        if self.arguments.probes > 0 {
            super::progress("first tokens without a batch")?;
            self.probe(4, !self.arguments.run.seed).await?;
            report.idle_first_token = self.probe(self.arguments.probes, self.arguments.run.seed + 1).await?;
            let file = self.folder.join("background.jsonl");
            let lines = self.arguments.lines(NUM_BACKGROUND_LINES);
            let prompts = PromptShape { seed: self.arguments.run.seed + 2, ..lines.prompts };
            BatchLines { prompts, ..lines }.write(&file, MODEL_NAME)?;
            let id = self.submit(&file).await?;
            wait_until_full(&watch).await?;
            super::progress("first tokens under a full batch")?;
            report.batch_first_token = self.probe(self.arguments.probes, self.arguments.run.seed + 3).await?;
            report.cancelling_seconds = watch.cancel(&id).await?.as_secs_f64();
        }
        Ok(report)
    }

    async fn submit(&self, file: &Path) -> anyhow::Result<String> {
        let mut command = Command::new(&self.arguments.run.jetmill);
        let output = command.args(["batch", "submit"]).arg(file).args(["--url", self.server.url()]);
        let output = output.output().await.context("cannot run jetmill batch submit")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Tokens a second of `jetmill run-batch`, without the loading of the model.
    async fn offline(&self, file: &Path, round: usize) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.arguments.run.jetmill);
        command.arg("run-batch").arg("--input").arg(file);
        command.arg("--output").arg(self.folder.join(format!("offline-{round}.jsonl")));
        command.arg("--model").arg(&self.arguments.model).args(["--model-name", MODEL_NAME]);
        command.arg("--nats-server").arg(&self.arguments.run.nats_server);
        command.args(["--num-threads", &self.arguments.run.threads.to_string()]);
        command.args(["--kv-cache-mib", &KV_CACHE_MIB.to_string(), "--speculative-method", "none"]);
        let output = command.output().await.context("cannot run jetmill run-batch")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        let rate = said.lines().rev().find_map(|line| line.strip_suffix(" a second)")?.rsplit('(').next());
        rate.and_then(|rate| rate.parse().ok()).context("run-batch did not say how fast it was")
    }

    /// Times to the first token of short requests, one after the other.
    async fn probe(&self, num_probes: usize, seed: u64) -> anyhow::Result<Quantiles> {
        let target = HttpTarget::new(self.server.url(), MODEL_NAME);
        let shape = PromptShape { num_tokens: self.arguments.probe_tokens, num_shared_tokens: 0, seed };
        let mut times = Vec::with_capacity(num_probes);
        for number in 0..num_probes {
            let request = CompletionRequest {
                prompt: shape.tokens(number),
                num_output_tokens: PROBE_OUTPUT_TOKENS,
                temperature: 0.0,
                seed: number as u64,
            };
            match target.complete(&request, Instant::now()).await {
                Outcome::Completed(completion) => times.push(completion.time_to_first_token),
                Outcome::Failed(reason) => bail!("a request failed: {reason}"),
            }
            sleep(Duration::from_millis(self.arguments.probe_pause_millis)).await;
        }
        Ok(Quantiles::of(times))
    }
}

/// Until the engine runs as many sequences as it comes to.
async fn wait_until_full(watch: &BatchWatch) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = 0.0;
    while Instant::now() < deadline {
        let num_running = watch.engine().await?.num_running();
        if num_running > 0.0 && num_running <= before {
            return Ok(());
        }
        before = num_running;
        sleep(10 * POLL).await;
    }
    bail!("the batch did not fill the engine")
}

impl BatchArguments {
    fn lines(&self, num_lines: usize) -> BatchLines {
        BatchLines {
            num_lines,
            prompts: PromptShape {
                num_tokens: self.prompt_tokens,
                num_shared_tokens: 0,
                seed: self.run.seed,
            },
            num_output_tokens: self.output_tokens,
        }
    }

    fn table(&self, report: &Report) -> String {
        let mut table = Table::new(["figure", "found", "asked for", "reached"]);
        let mut row = |figure: &str, found: String, asked: &str, is_reached: bool| {
            let word = if is_reached { "yes" } else { "no" };
            table.row([figure, &found, asked, word].map(str::to_owned));
        };
        let num_tokens = |batch: &BatchFigures| batch.num_lines as f64 * f64::from(self.output_tokens);
        let rates = report.batches.iter().map(|batch| num_tokens(batch) / batch.seconds);
        let rounds: Vec<(f64, f64)> = rates.zip(report.offline_tokens_per_second.iter().copied()).collect();
        // Of the rounds, since a machine may change from one to the next.
        if let Some(ratio) = median(rounds.iter().map(|(rate, offline)| rate / offline)) {
            let used = median(report.batches.iter().map(BatchFigures::utilisation)).unwrap_or(0.0);
            let busy = median(report.batches.iter().map(|batch| batch.busy_share)).unwrap_or(0.0);
            let found = format!("{:.1} % (busy {:.1} %)", used * 100.0, busy * 100.0);
            row("engine steps with full slots, of wall time", found, "≥ 95 %", used >= 0.95);
            let shown: Vec<_> =
                rounds.iter().map(|(rate, offline)| format!("{rate:.1} / {offline:.1}")).collect();
            let found = format!("{}: {ratio:.3}", shown.join(", "));
            row("output tok/s of the batch / offline", found, "≥ 0.95", ratio >= 0.95);
            for process in report.batches.iter().flat_map(|batch| growth(&batch.memory)) {
                let (name, found, is_flat) = process;
                row(&format!("MB allocated by {name} at 10, 50, 90 %"), found, "constant", is_flat);
            }
        }
        if report.idle_first_token.count > 0 {
            let (idle, batch) = (report.idle_first_token, report.batch_first_token);
            for (name, idle, batch, asked) in
                [("p50", idle.p50_ms, batch.p50_ms, None), ("p99", idle.p99_ms, batch.p99_ms, Some(1.5))]
            {
                let ratio = batch / idle.max(f64::MIN_POSITIVE);
                let found = format!("{batch:.1} / {idle:.1} = {ratio:.2}");
                let figure = format!("first token {name} under a batch / idle, ms");
                row(&figure, found, asked.map_or("–", |_| "≤ 1.5"), asked.is_none_or(|most| ratio <= most));
            }
            let found = format!("{:.1}", report.cancelling_seconds);
            row("seconds until a cancelled batch has ended", found, "–", true);
        }
        table.to_string()
    }
}

/// Each process's memory over the batch, and whether it stayed within a tenth of what it was at first.
fn growth(memory: &[bench::batch_watch::ProcessMemory]) -> Vec<(String, String, bool)> {
    let mut names: Vec<&str> = memory.iter().map(|one| one.process.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| -> Vec<f64> {
        let of_process = memory.iter().filter(|one| one.process == name);
        of_process.map(|one| one.anonymous_bytes as f64 / 1e6).collect()
    };
    let described = names.into_iter().map(|name| {
        let values = of(name);
        let shown: Vec<_> = values.iter().map(|megabytes| format!("{megabytes:.0}")).collect();
        let is_flat = values.first().zip(values.last()).is_some_and(|(first, last)| *last <= first * 1.1);
        (name.to_owned(), shown.join(", "), is_flat)
    });
    described.collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
