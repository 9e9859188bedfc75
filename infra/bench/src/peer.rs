//! The servers that a table compares with: where they are, in which formats they run, and with which settings.
//!
//! A peer gets its best settings, not its defaults; `infra/bench/README.md` says how they were found.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::row::{Row, RowModel, Workload};
use crate::served_process::ServerCommand;

/// The name under which servers are asked for their model.
pub const MODEL_NAME: &str = "bench";

/// A program that answers as we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PeerProgram {
    /// llama.cpp, built for this processor.
    #[value(name = "llama.cpp")]
    LlamaCpp,
    /// vLLM on the CPU.
    Vllm,
    /// llama.cpp as the package xllamacpp carries it, for AVX2.
    Xllamacpp,
}

/// A peer with the format of its weights, ready to be started.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Program and format.
    pub name: String,
    /// How it is started for a row.
    pub command: ServerCommand,
    /// Whether it takes so long to start that one server answers for all rows of its model.
    pub is_slow_to_start: bool,
}

/// Where the repository keeps what peers need.
#[derive(Debug, Clone)]
pub struct PeerShelf {
    /// The repository's root.
    pub repository: PathBuf,
    /// Compute threads.
    pub num_threads: usize,
}

impl PeerProgram {
    const fn installed_name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::Xllamacpp => "xllamacpp",
        }
    }

    /// The formats it is measured in; every model of Qwen is one file for all.
    const fn formats(self, model: RowModel) -> &'static [&'static str] {
        match (self, model) {
            (Self::Vllm, RowModel::Smollm2) => &["bf16"],
            (Self::Vllm, _) => &[],
            (Self::LlamaCpp | Self::Xllamacpp, RowModel::Smollm2) => &["Q4_1", "Q4_0", "BF16"],
            (Self::LlamaCpp | Self::Xllamacpp, _) => &["Q4_K_M"],
        }
    }
}

impl PeerShelf {
    /// The program in every format that the row is measured in. `Err` says why it cannot take part.
    pub fn peers(&self, program: PeerProgram, row: &Row) -> Result<Vec<Peer>, String> {
        let formats = program.formats(row.model);
        if formats.is_empty() {
            return Ok(Vec::new());
        }
        let place = self.python("install.py", &["--find", program.installed_name()])?;
        let place = PathBuf::from(place.trim());
        formats
            .iter()
            .map(|format| {
                Ok(Peer {
                    name: format!("{} {format}", program.installed_name()),
                    command: self.command(program, &place, &self.weights(row.model, program, format)?, row),
                    is_slow_to_start: program == PeerProgram::Vllm,
                })
            })
            .collect()
    }

    /// The model's own file, or one made from it.
    fn weights(&self, model: RowModel, program: PeerProgram, format: &str) -> Result<PathBuf, String> {
        let file = self.repository.join(".jetmill/models").join(model.file());
        if !file.is_file() {
            return Err(format!("{} is not there: infra/setup/fetch.py fetches models", file.display()));
        }
        let (to, out) = match (program, format) {
            (PeerProgram::Vllm, _) => ("huggingface", "smollm2-135m-instruct-bf16".to_owned()),
            (_, "Q4_0" | "BF16") => (
                if format == "Q4_0" { "q4_0" } else { "bf16" },
                format!("smollm2-135m-instruct-{format}.gguf"),
            ),
            _ => return Ok(file),
        };
        let out = self.repository.join(".jetmill/peers/models").join(out.to_lowercase());
        if out.exists() {
            return Ok(out);
        }
        self.python("convert_model.py", &[&text(&file), "--to", to, "--out", &text(&out)])?;
        Ok(out)
    }

    fn command(&self, program: PeerProgram, place: &Path, weights: &Path, row: &Row) -> ServerCommand {
        match program {
            PeerProgram::LlamaCpp => self.llama_cpp(place, weights, row),
            PeerProgram::Vllm => self.vllm(place, weights),
            PeerProgram::Xllamacpp => {
                self.xllamacpp(weights, row.workload.num_streams(), row.workload.num_context_tokens())
            }
        }
    }

    fn llama_cpp(&self, place: &Path, weights: &Path, row: &Row) -> ServerCommand {
        let num_slots = row.workload.num_streams();
        let num_context_tokens = num_slots * row.workload.num_context_tokens();
        // Its first pass over nothing makes later ones quicker and the first answer late.
        let warmth = if row.workload == Workload::Start { " --no-warmup" } else { "" };
        let line = format!(
            "--host 127.0.0.1 --port {{port}} --threads {0} --threads-batch {0} --parallel {num_slots} \
             --ctx-size {num_context_tokens} --flash-attn off --batch-size 2048 --ubatch-size 512 --no-webui --alias {MODEL_NAME}{warmth}",
            self.num_threads,
        );
        ServerCommand {
            program: place.join("llama-server"),
            arguments: with_path(&line, "--model", weights),
            ready_path: "/health",
            model: MODEL_NAME.to_owned(),
            patience: Duration::from_secs(60),
        }
    }

    fn vllm(&self, place: &Path, weights: &Path) -> ServerCommand {
        let line = format!(
            "{} --port {{port}} --model-name {MODEL_NAME} --threads {}",
            text(&self.script("vllm_server.py")),
            self.num_threads,
        );
        ServerCommand {
            program: place.join("bin/python"),
            arguments: with_path(&line, "--model", weights),
            ready_path: "/health",
            model: MODEL_NAME.to_owned(),
            // It compiles for minutes at its first start.
            patience: Duration::from_secs(900),
        }
    }

    /// The prebuilt server with that many slots of that many tokens each.
    #[must_use]
    pub fn xllamacpp(&self, weights: &Path, num_slots: usize, num_context_tokens: usize) -> ServerCommand {
        let line = format!(
            "{} --port {{port}} --slots {num_slots} --context-tokens {num_context_tokens} --threads {}",
            text(&self.script("xllamacpp_server.py")),
            self.num_threads,
        );
        ServerCommand {
            program: PathBuf::from("python3"),
            arguments: with_path(&line, "--model", weights),
            ready_path: "/health",
            model: MODEL_NAME.to_owned(),
            patience: Duration::from_secs(60),
        }
    }

    fn script(&self, name: &str) -> PathBuf {
        self.repository.join("infra/bench/peers").join(name)
    }

    /// Runs one of the peers' scripts and returns what it prints; its own words when it fails.
    fn python(&self, script: &str, arguments: &[&str]) -> Result<String, String> {
        let ended = Command::new("python3")
            .arg(self.script(script))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("python3: {error}"))?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let last = said.lines().last().unwrap_or("no reason was given");
        Err(last.trim_start_matches("error: ").to_owned())
    }
}

fn with_path(line: &str, name: &str, path: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    arguments.extend([name.to_owned(), text(path)]);
    arguments
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
