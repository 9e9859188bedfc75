//! `bench table`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use bench::engine_target::EngineTarget;
use bench::http_target::HttpTarget;
use bench::peer::{Peer, PeerProgram, PeerShelf};
use bench::platform::Platform;
use bench::row::{ROWS, Row, RowModel, Workload};
use bench::row_report::{RowReport, Standing, details, summary};
use bench::row_sample::{self, SampleSize};
use bench::served_process::{ServedProcess, ServerCommand};
use bench::target::Target;

use super::run_arguments::RunArguments;

/// Which rows, beside whom.
#[derive(Debug, clap::Args)]
pub(crate) struct TableArguments {
    /// Only these rows; `help` lists them.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Who is compared with; one that is not installed is said to be absent.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "llama.cpp,vllm")]
    peers: Vec<PeerProgram>,
    /// Leave all peers out.
    #[arg(long)]
    without_peers: bool,
    /// How often the targets take turns; figures are medians over the rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests for each stream in a round.
    #[arg(long, default_value_t = 2)]
    requests_per_stream: usize,
    /// The repository's root, for models and peers.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    #[command(flatten)]
    run: RunArguments,
}

/// Enough for 32 streams, and a figure that the memory row can take away again.
const KV_CACHE_MIB: usize = 512;

pub(crate) async fn run(arguments: TableArguments) -> anyhow::Result<bool> {
    let rows = arguments.chosen_rows()?;
    let mut stage = Stage::new(&arguments);
    let mut reports = Vec::new();
    let mut measured = Ok(());
    for row in rows {
        super::progress(&format!("{}: {}", row.id, row.title))?;
        match stage.row(row).await {
            Ok(report) => {
                super::progress(&details(std::slice::from_ref(&report)).to_string())?;
                reports.push(report);
            }
            Err(error) => {
                measured = Err(error.context(row.title));
                break;
            }
        }
    }
    stage.close().await?;
    measured?;
    super::print(&format!("{}\n{}", summary(&reports), details(&reports)))?;
    let absent: BTreeSet<&String> = reports.iter().flat_map(|report| &report.absent).collect();
    for reason in absent {
        super::print(&format!("absent: {reason}"))?;
    }
    for report in &reports {
        for standing in &report.standings {
            for cause in &standing.failures {
                super::print(&format!("failed: {}, {}: {cause}", report.id, standing.name))?;
            }
        }
    }
    super::write_json(arguments.run.json.as_deref(), &reports)?;
    let is_ours_whole =
        |report: &RowReport| report.standings.iter().all(|one| !one.is_ours || one.failures.is_empty());
    Ok(reports.iter().all(is_ours_whole))
}

impl TableArguments {
    fn chosen_rows(&self) -> anyhow::Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            return Ok(ROWS.iter().collect());
        }
        let known = || ROWS.iter().map(|row| row.id).collect::<Vec<_>>().join(", ");
        self.rows
            .iter()
            .map(|id| {
                let found = ROWS.iter().find(|row| row.id == id);
                found.with_context(|| format!("no row is called {id}; rows are {}", known()))
            })
            .collect()
    }
}

/// What runs while rows are measured: servers that are slow to start stay for the next row.
struct Stage<'a> {
    arguments: &'a TableArguments,
    shelf: PeerShelf,
    platform: Platform,
    engine: Option<EngineTarget>,
    kept: BTreeMap<String, ServedProcess>,
    kept_model: Option<RowModel>,
}

/// Something that answers for a row.
struct Contestant {
    name: String,
    is_ours: bool,
    target: Target,
}

impl<'a> Stage<'a> {
    fn new(arguments: &'a TableArguments) -> Self {
        let shelf =
            PeerShelf { repository: arguments.repository.clone(), num_threads: arguments.run.threads };
        let platform = arguments.run.platform(KV_CACHE_MIB);
        Self { arguments, shelf, platform, engine: None, kept: BTreeMap::new(), kept_model: None }
    }

    async fn row(&mut self, row: &'static Row) -> anyhow::Result<RowReport> {
        if self.kept_model.is_some_and(|model| model != row.model) {
            self.close().await?;
        }
        self.kept_model = Some(row.model);
        let (peers, absent) = self.peers(row);
        let report = RowReport::new(row, absent);
        match row.workload {
            Workload::Start => self.start_row(row, peers, report).await,
            Workload::Memory => self.memory_row(row, report).await,
            _ => self.load_row(row, peers, report).await,
        }
    }

    fn peers(&self, row: &Row) -> (Vec<Peer>, Vec<String>) {
        let (mut peers, mut absent) = (Vec::new(), Vec::new());
        if self.arguments.without_peers || row.workload == Workload::Memory {
            return (peers, absent);
        }
        for &program in &self.arguments.peers {
            match self.shelf.peers(program, row) {
                Ok(of_program) => peers.extend(of_program),
                Err(reason) => absent.push(reason),
            }
        }
        (peers, absent)
    }

    async fn load_row(
        &mut self,
        row: &'static Row,
        peers: Vec<Peer>,
        mut report: RowReport,
    ) -> anyhow::Result<RowReport> {
        let mut servers = Vec::new();
        let mut contestants = vec![self.ours(row).await?];
        for peer in peers {
            let target = match self.kept.get(&peer.name) {
                Some(server) => Target::Http(HttpTarget::new(server.url(), &peer.command.model)),
                None => {
                    super::progress(&format!("starting {}", peer.name))?;
                    let server = match ServedProcess::start(&peer.command).await {
                        Ok(server) => server,
                        Err(error) => {
                            report.absent.push(format!("{}: {error}", peer.name));
                            continue;
                        }
                    };
                    let target = Target::Http(HttpTarget::new(server.url(), &peer.command.model));
                    if peer.is_slow_to_start {
                        self.kept.insert(peer.name.clone(), server);
                    } else {
                        servers.push(server);
                    }
                    target
                }
            };
            contestants.push(Contestant { name: peer.name, is_ours: false, target });
        }
        report.standings = self.take_turns(row, &contestants).await;
        for server in servers {
            server.stop().await.context("cannot stop a server")?;
        }
        Ok(report)
    }

    /// The engine in this process or the platform, whichever the row is about.
    async fn ours(&mut self, row: &Row) -> anyhow::Result<Contestant> {
        if row.workload.is_engine_alone() {
            let engine = match self.engine.take() {
                Some(engine) => engine,
                None => EngineTarget::load(&self.model(row), self.arguments.run.threads).await?,
            };
            self.engine = Some(engine.clone());
            let target = Target::Engine(engine);
            return Ok(Contestant { name: "engine".to_owned(), is_ours: true, target });
        }
        let command = self.platform.serve(self.model(row));
        let name = "jetmill serve".to_owned();
        if !self.kept.contains_key(&name) {
            self.kept.insert(name.clone(), ServedProcess::start(&command).await?);
        }
        let server = self.kept.get(&name).context("the server is kept")?;
        let target = Target::Http(HttpTarget::new(server.url(), &command.model));
        Ok(Contestant { name, is_ours: true, target })
    }

    async fn take_turns(&self, row: &'static Row, contestants: &[Contestant]) -> Vec<Standing> {
        let mut standings: Vec<Standing> =
            contestants.iter().map(|one| standing(&one.name, one.is_ours)).collect();
        for one in contestants {
            row_sample::warm_up(&one.target, self.arguments.run.seed).await;
        }
        for round in 0..self.arguments.rounds {
            let size = self.size(row, round);
            for (contestant, standing) in contestants.iter().zip(&mut standings) {
                standing.take(row_sample::sample(&contestant.target, row.workload, size).await);
            }
        }
        standings
    }

    async fn start_row(
        &self,
        row: &'static Row,
        peers: Vec<Peer>,
        mut report: RowReport,
    ) -> anyhow::Result<RowReport> {
        let mut commands: Vec<(ServerCommand, Standing)> =
            vec![(self.platform.serve(self.model(row)), standing("jetmill serve", true))];
        for peer in peers {
            if peer.is_slow_to_start {
                report.absent.push(format!("{}: takes minutes to start, which is not repeated", peer.name));
            } else {
                commands.push((peer.command, standing(&peer.name, false)));
            }
        }
        for round in 0..=self.arguments.rounds {
            for (command, standing) in &mut commands {
                let started = row_sample::start(command).await;
                // The first one brings files into the page cache.
                if round > 0 {
                    standing.take(started);
                }
            }
        }
        report.standings = commands.into_iter().map(|(_, standing)| standing).collect();
        Ok(report)
    }

    async fn memory_row(&self, row: &'static Row, mut report: RowReport) -> anyhow::Result<RowReport> {
        let command = self.platform.serve(self.model(row));
        let server = ServedProcess::start(&command).await?;
        let target = Target::Http(HttpTarget::new(server.url(), &command.model));
        let mut ours = standing("jetmill serve", true);
        let num_kv_bytes = (KV_CACHE_MIB as u64) << 20;
        ours.take(row_sample::memory_beyond(&server, &target, &self.model(row), num_kv_bytes).await);
        server.stop().await.context("cannot stop a server")?;
        report.standings.push(ours);
        Ok(report)
    }

    /// No prompt comes twice in a run, except to different targets.
    fn size(&self, row: &Row, round: usize) -> SampleSize {
        let index = ROWS.iter().position(|known| known.id == row.id).unwrap_or_default();
        let seed = self.arguments.run.seed.wrapping_add(((index * 100 + round) as u64) << 16);
        SampleSize { num_requests_per_stream: self.arguments.requests_per_stream, seed }
    }

    fn model(&self, row: &Row) -> PathBuf {
        self.arguments.repository.join(".jetmill/models").join(row.model.file())
    }

    async fn close(&mut self) -> anyhow::Result<()> {
        self.engine = None;
        for (_, server) in std::mem::take(&mut self.kept) {
            server.stop().await.context("cannot stop a server")?;
        }
        Ok(())
    }
}

fn standing(name: &str, is_ours: bool) -> Standing {
    Standing { name: name.to_owned(), is_ours, samples: Vec::new(), failures: Vec::new() }
}
