//! The answers, in the order of the input, and where a run that was broken off goes on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use schedulers::jobs::{Line, LineReader};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufRead, AsyncSeekExt as _, AsyncWriteExt as _, BufReader};

/// A file to which whole lines are added.
pub(crate) struct OutputFile {
    file: File,
    path: PathBuf,
}

impl OutputFile {
    /// Opens `path` behind the lines that answer the first lines of `input`, which is read on to the first line without an
    /// answer. Returns the number of answers. `Err` if the file answers other lines.
    pub(crate) async fn open<R: AsyncBufRead + Unpin>(
        path: &Path,
        input: &mut LineReader<R>,
    ) -> Result<(Self, u64)> {
        let shown = path.display();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).await;
        let mut file = file.with_context(|| format!("cannot open {shown}"))?;
        let mut answers = LineReader::new(BufReader::new(&mut file), usize::MAX);
        let (mut num_answers, mut num_bytes) = (0_u64, 0);
        while let Some((answer, has_end)) = answers.next().await.with_context(|| format!("{shown}"))? {
            // The run was broken off within a line, which is answered again.
            if !has_end {
                break;
            }
            let question = input.next().await.context("cannot read the input")?;
            if question.is_none_or(|(question, _)| id_of(&question) != id_of(&answer)) {
                bail!(
                    "line {} of {shown} does not answer that line of the input; \
                     name another output file, or remove this one",
                    num_answers + 1
                );
            }
            num_answers += 1;
            num_bytes = answers.num_bytes_read();
        }
        file.set_len(num_bytes).await.with_context(|| format!("cannot shorten {shown}"))?;
        file.seek(std::io::SeekFrom::End(0)).await?;
        Ok((Self { file, path: path.to_owned() }, num_answers))
    }

    /// Adds a line, which is with the operating system when this returns.
    pub(crate) async fn write(&mut self, mut line: String) -> Result<()> {
        line.push('\n');
        let written = async {
            self.file.write_all(line.as_bytes()).await?;
            self.file.flush().await
        };
        written.await.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn id_of(line: &Line) -> Option<String> {
    match line {
        Line::Whole(bytes) => api::custom_id_of(bytes),
        Line::TooLong => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = "{\"custom_id\":\"a\"}\nno JSON\n{\"custom_id\":\"c\"}\n";

    async fn open(already: &str) -> (Result<u64>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        std::fs::write(&path, already).unwrap();
        let mut input = LineReader::new(INPUT.as_bytes(), 1 << 20);
        let opened = OutputFile::open(&path, &mut input).await;
        let num_answers = match opened {
            Ok((mut file, num_answers)) => {
                file.write("new".to_owned()).await.unwrap();
                Ok(num_answers)
            }
            Err(error) => Err(error),
        };
        (num_answers, std::fs::read_to_string(&path).unwrap())
    }

    async fn check(already: &str, expected_num_answers: u64, expected_text: &str) {
        let (num_answers, text) = open(already).await;
        assert_eq!((num_answers.unwrap(), text.as_str()), (expected_num_answers, expected_text));
    }

    #[tokio::test]
    async fn a_run_goes_on_behind_the_last_whole_answer() {
        check("", 0, "new\n").await;
        check("{\"custom_id\":\"a\"}\n", 1, "{\"custom_id\":\"a\"}\nnew\n").await;
        let two = "{\"custom_id\":\"a\"}\n{\"custom_id\":null,\"error\":{}}\n";
        check(two, 2, &format!("{two}new\n")).await;
        check("{\"custom_id\":\"a\"}\n{\"custom_i", 1, "{\"custom_id\":\"a\"}\nnew\n").await;
    }

    #[tokio::test]
    async fn a_file_that_answers_other_lines_is_left_alone() {
        for already in ["{\"custom_id\":\"b\"}\n", &format!("{INPUT}{{\"custom_id\":\"d\"}}\n")] {
            let (num_answers, text) = open(already).await;
            assert!(num_answers.unwrap_err().to_string().contains("does not answer"));
            assert_eq!(text, already);
        }
    }
}
