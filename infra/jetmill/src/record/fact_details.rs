//! What stands below a fact's line: reasons and verdicts always, prompts and answers when they are asked for.

use schemas::Amount;
use schemas::v1::envelope::Fact;
use schemas::v1::prompt::Content;
use schemas::v1::{CheckVerdict, Choice, Ended, Prompt, Requested};

/// The lines for one fact.
pub(crate) fn details(fact: &Fact, with_content: bool) -> Vec<String> {
    match fact {
        Fact::Requested(requested) => requested_lines(requested, with_content),
        Fact::Admitted(admitted) => {
            let mut lines: Vec<String> = admitted.verdicts.iter().map(verdict_line).collect();
            if with_content && let Some(prompt) = &admitted.redacted_prompt {
                lines.push(format!("redacted prompt: {}", prompt_words(prompt)));
            }
            lines
        }
        Fact::Assigned(assigned) => {
            let mark = |is_chosen| if is_chosen { "chosen" } else { "passed over" };
            let line = |reason: &schemas::v1::RoutingReason| {
                format!("{}: {}, {}", reason.deployment, mark(reason.chosen), reason.reason)
            };
            let mut lines: Vec<String> = assigned.reasons.iter().map(line).collect();
            if assigned.control_sequence > 0 {
                lines.push(format!("deployments as of sequence {} of CONTROL", assigned.control_sequence));
            }
            lines
        }
        Fact::Ended(ended) => ended_lines(ended, with_content),
        Fact::Started(started) => vec![format!("model {}", started.model_digest)],
        _ => Vec::new(),
    }
}

fn requested_lines(requested: &Requested, with_content: bool) -> Vec<String> {
    let caller = if requested.caller.is_empty() { "none" } else { &requested.caller };
    let mut lines = vec![format!("asked with key {caller}, priority {}", requested.priority)];
    if let Some(price) = &requested.price {
        let amount = |nanos: u64| Amount { nanos };
        lines.push(format!(
            "price of a million tokens: {} of the prompt ({} cached), {} of the answer, {}",
            amount(price.input_nanos_per_million),
            amount(price.cached_input_nanos_per_million),
            amount(price.output_nanos_per_million),
            price.currency,
        ));
    }
    if let Some(sampling) = &requested.sampling {
        let max_tokens = sampling.max_tokens.map_or_else(|| "the context".to_owned(), |max| max.to_string());
        lines.push(format!(
            "n {}, temperature {}, top_p {}, up to {max_tokens} tokens{}",
            sampling.n,
            sampling.temperature,
            sampling.top_p,
            sampling.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default(),
        ));
    }
    if with_content && let Some(prompt) = &requested.prompt {
        lines.push(format!("prompt: {}", prompt_words(prompt)));
    }
    lines
}

fn verdict_line(verdict: &CheckVerdict) -> String {
    let word = if verdict.allowed { "allowed" } else { "refused" };
    let reason = if verdict.reason.is_empty() { String::new() } else { format!(", {}", verdict.reason) };
    format!("{}: {word}{reason}, {:.3} ms", verdict.check, verdict.took_nanos as f64 / 1e6)
}

fn prompt_words(prompt: &Prompt) -> String {
    match &prompt.content {
        Some(Content::Chat(chat)) => chat.messages_json.clone(),
        Some(Content::Text(text)) => format!("{text:?}"),
        Some(Content::TokenIds(tokens)) => format!("{:?}", tokens.ids),
        None => "none".to_owned(),
    }
}

fn ended_lines(ended: &Ended, with_content: bool) -> Vec<String> {
    let mut lines: Vec<String> = ended.verdicts.iter().map(verdict_line).collect();
    if let Some(timings) = &ended.timings {
        let millis = |nanos: u64| nanos as f64 / 1e6;
        lines.push(format!(
            "queued {:.1} ms, prompt {:.1} ms, answer {:.1} ms; first token after {:.1} ms",
            millis(timings.queued_nanos),
            millis(timings.prefill_nanos),
            millis(timings.decode_nanos),
            millis(timings.time_to_first_token_nanos),
        ));
    }
    if let Some(usage) = &ended.usage {
        lines.push(format!(
            "tokens: {} of the prompt ({} cached), {} of the answer ({} thinking)",
            usage.num_prompt_tokens,
            usage.num_cached_prompt_tokens,
            usage.num_completion_tokens,
            usage.num_reasoning_tokens,
        ));
    }
    if let Some(cost) = &ended.cost {
        lines.push(format!("cost: {} {}", cost.amount(), cost.currency));
    }
    if with_content {
        ended.choices.iter().for_each(|choice| lines.extend(choice_lines(choice)));
    }
    lines
}

fn choice_lines(choice: &Choice) -> Vec<String> {
    let mut lines = Vec::new();
    if !choice.reasoning.is_empty() {
        lines.push(format!("choice {} thought: {:?}", choice.index, choice.reasoning));
    }
    lines.push(format!("choice {}: {:?}", choice.index, choice.text));
    for call in &choice.tool_calls {
        lines.push(format!("choice {} calls {}({})", choice.index, call.name, call.arguments));
    }
    lines.push(format!("choice {} tokens: {:?}", choice.index, choice.token_ids));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_shown_only_when_it_is_asked_for() {
        let prompt = Prompt { content: Some(Content::Text("secret".to_owned())) };
        let requested = Fact::Requested(Requested { prompt: Some(prompt), ..Requested::default() });
        let choice = Choice { text: "secret".to_owned(), ..Choice::default() };
        let ended = Fact::Ended(Ended { choices: vec![choice], ..Ended::default() });
        for fact in [requested, ended] {
            assert!(!details(&fact, false).concat().contains("secret"));
            assert!(details(&fact, true).concat().contains("secret"));
        }
    }
}
