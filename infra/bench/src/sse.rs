//! Server-sent events, from bytes as they arrive to whole events.

/// One event: its `id`, if it has one, and its `data` lines joined by line feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The value of the event's `id` field.
    pub id: Option<String>,
    /// The payload.
    pub data: String,
}

/// Splits a byte stream into events. Comments and fields other than `id` and `data` are skipped.
///
/// Source: HTML Living Standard, "Interpreting an event stream"; unlike there, an id holds for its own event only,
/// because a check of ids must see which events lack one.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl SseParser {
    /// Takes the next bytes and returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                events.extend(self.end_line(&line));
            } else {
                self.line.push(byte);
            }
        }
        events
    }

    fn end_line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let id = self.id.take();
            return self.data.take().map(|data| SseEvent { id, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[(Option<&str>, &str)]) {
        let expected: Vec<SseEvent> = expected
            .iter()
            .map(|(id, data)| SseEvent { id: id.map(str::to_owned), data: (*data).to_owned() })
            .collect();
        for size in [1, 2, 7, input.len()] {
            let mut parser = SseParser::default();
            let events: Vec<SseEvent> =
                input.as_bytes().chunks(size).flat_map(|piece| parser.push(piece)).collect();
            assert_eq!(events, expected, "in pieces of {size} bytes");
        }
    }

    #[test]
    fn events_are_whole_however_the_bytes_arrive() {
        check("data: a\n\nid: 7\ndata: b\n\n", &[(None, "a"), (Some("7"), "b")]);
        check("data: naïve 🙂\r\n\r\n", &[(None, "naïve 🙂")]);
    }

    #[test]
    fn data_lines_are_joined_and_comments_are_skipped() {
        check(": keep-alive\n\ndata: a\ndata: b\nevent: x\n\n", &[(None, "a\nb")]);
    }

    #[test]
    fn an_event_without_its_empty_line_is_not_delivered() {
        check("data: a\n\ndata: cut", &[(None, "a")]);
    }
}
