//! Whether one stream was gapless, free of duplicates and complete.

/// Follows the `id` of each event of a Jetmill stream, `<inference>:<choice>:<next token index>`.
///
/// The last part is the index of the first token that the client does not have yet, so over a stream of one choice it never
/// goes back, and at the end it equals the number of tokens in the usage.
#[derive(Debug, Default)]
pub struct StreamCheck {
    inference: Option<String>,
    next_token_index: u64,
    num_listed_tokens: Option<u64>,
}

impl StreamCheck {
    /// Takes the id of the next event with output and, where the server lists them, how many token ids came with it.
    pub fn event(&mut self, id: Option<&str>, num_tokens: Option<u64>) -> Result<(), String> {
        let id = id.ok_or("an event with output has no id")?;
        let mut parts = id.rsplitn(3, ':');
        let next: u64 = parts
            .next()
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| format!("event id {id:?} does not end in a token index"))?;
        let inference = parts.nth(1).ok_or_else(|| format!("event id {id:?} has less than three parts"))?;
        match &self.inference {
            None => self.inference = Some(inference.to_owned()),
            Some(known) if known != inference => {
                return Err("the inference changed within a stream".to_owned());
            }
            Some(_) => {}
        }
        if next < self.next_token_index {
            return Err(format!("token index went back from {} to {next}", self.next_token_index));
        }
        if let Some(num_tokens) = num_tokens {
            let advance = next - self.next_token_index;
            if advance != num_tokens {
                return Err(format!("token index advanced by {advance} over {num_tokens} tokens"));
            }
            *self.num_listed_tokens.get_or_insert(0) += num_tokens;
        }
        self.next_token_index = next;
        Ok(())
    }

    /// The stream ended, and its usage says that `num_output_tokens` were generated.
    pub fn end(&self, num_output_tokens: u64) -> Result<(), String> {
        if self.next_token_index != num_output_tokens {
            return Err(format!(
                "token index ended at {}, usage says {num_output_tokens}",
                self.next_token_index
            ));
        }
        match self.num_listed_tokens {
            Some(listed) if listed != num_output_tokens => {
                Err(format!("{listed} tokens were listed, usage says {num_output_tokens}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[(&str, Option<u64>)], usage: u64, expected: Result<(), &str>) {
        let mut stream = StreamCheck::default();
        let found = events
            .iter()
            .try_for_each(|(id, num_tokens)| stream.event(Some(id), *num_tokens))
            .and_then(|()| stream.end(usage));
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_gapless_stream_passes() {
        check(&[("i:0:1", Some(1)), ("i:0:3", Some(2)), ("i:0:3", Some(0))], 3, Ok(()));
        check(&[("i:0:1", None), ("i:0:3", None)], 3, Ok(()));
    }

    #[test]
    fn a_lost_or_doubled_token_is_found() {
        check(&[("i:0:1", Some(1)), ("i:0:3", Some(1))], 3, Err("token index advanced by 2 over 1 tokens"));
        check(&[("i:0:2", None), ("i:0:1", None)], 2, Err("token index went back from 2 to 1"));
        check(&[("i:0:2", None)], 3, Err("token index ended at 2, usage says 3"));
        check(&[("i:0:1", None), ("j:0:2", None)], 2, Err("the inference changed within a stream"));
        check(&[("nothing", None)], 1, Err("event id \"nothing\" does not end in a token index"));
    }
}
