//! Lines of a file, one at a time and none longer than it may be.

use tokio::io::{self, AsyncBufRead, AsyncBufReadExt as _};

/// What stands between two line ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the end.
    Whole(Vec<u8>),
    /// It is longer than it may be, and was passed over.
    TooLong,
}

/// Reads lines that are not blank.
pub struct LineReader<R> {
    source: R,
    max_num_bytes: usize,
    num_bytes_read: u64,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    /// Lines of `source`; one longer than `max_num_bytes` is passed over.
    pub fn new(source: R, max_num_bytes: usize) -> Self {
        Self { source, max_num_bytes, num_bytes_read: 0 }
    }

    /// Bytes of the file up to the end of the latest line.
    pub fn num_bytes_read(&self) -> u64 {
        self.num_bytes_read
    }

    /// The next line with something on it, and whether its end is there; `None` at the end of the file.
    pub async fn next(&mut self) -> io::Result<Option<(Line, bool)>> {
        loop {
            let mut kept = Vec::new();
            let mut is_too_long = false;
            let mut has_end = false;
            while !has_end {
                let available = self.source.fill_buf().await?;
                if available.is_empty() {
                    break;
                }
                let end = available.iter().position(|byte| *byte == b'\n');
                let part = &available[..end.unwrap_or(available.len())];
                is_too_long |= kept.len() + part.len() > self.max_num_bytes;
                if is_too_long {
                    kept = Vec::new();
                } else {
                    kept.extend_from_slice(part);
                }
                has_end = end.is_some();
                let num_taken = part.len() + usize::from(has_end);
                self.source.consume(num_taken);
                self.num_bytes_read += num_taken as u64;
            }
            if is_too_long {
                return Ok(Some((Line::TooLong, has_end)));
            }
            if !kept.trim_ascii().is_empty() {
                return Ok(Some((Line::Whole(kept), has_end)));
            }
            if !has_end {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(text: &str, expected: &[(Option<&str>, bool)]) {
        // A source that gives two bytes at a time.
        let source = io::BufReader::with_capacity(2, text.as_bytes());
        let mut reader = LineReader::new(source, 5);
        let mut found = Vec::new();
        while let Some((line, has_end)) = reader.next().await.unwrap() {
            let line = match line {
                Line::Whole(bytes) => Some(String::from_utf8(bytes).unwrap()),
                Line::TooLong => None,
            };
            found.push((line, has_end));
        }
        let expected: Vec<_> =
            expected.iter().map(|(line, has_end)| (line.map(str::to_owned), *has_end)).collect();
        assert_eq!(found, expected, "{text:?}");
        assert_eq!(reader.num_bytes_read(), text.len() as u64);
    }

    #[tokio::test]
    async fn lines_are_whole_or_passed_over_and_blank_ones_do_not_count() {
        check("", &[]).await;
        check("\n \n", &[]).await;
        check("abc\n\nde\n", &[(Some("abc"), true), (Some("de"), true)]).await;
        check("abcde\nabcdef\nx\n", &[(Some("abcde"), true), (None, true), (Some("x"), true)]).await;
        check("abc\nde", &[(Some("abc"), true), (Some("de"), false)]).await;
        check("abcdefghi", &[(None, false)]).await;
    }
}
