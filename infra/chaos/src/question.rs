//! What clients ask: a few requests of different kinds, each with one right answer.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const SUBJECTS: [&str; 8] = [
    "a lighthouse",
    "the sea at night",
    "naïve café owners in Zürich",
    "日本の電車",
    "an emoji 🦊 who travels",
    "three brothers",
    "how bread is baked",
    "a city under the ice",
];
const NUM_QUESTIONS: u64 = 16;
/// What a client that lost its api may take to come back.
const GRACE_SECONDS: u32 = 120;

/// A streamed chat completion whose seed is given, so that its answer is known.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) body: Value,
}

impl Question {
    /// The same for a whole answer, which nobody waits for.
    pub(crate) fn unstreamed(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, _| {
                !["stream", "stream_options", "grace_period_seconds"].contains(&name.as_str())
            });
        }
        body
    }

    /// Greedy and sampled, short and long, with a schema, with a stop string.
    pub(crate) fn all(seed: u64) -> Vec<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..NUM_QUESTIONS)
            .map(|number| {
                let subject = SUBJECTS[random.random_range(0..SUBJECTS.len())];
                let mut body = json!({
                    "model": crate::site::MODEL,
                    "messages": [{"role": "user", "content": format!("{number}. Tell me about {subject}.")}],
                    "max_tokens": random.random_range(40..160),
                    "temperature": if number % 2 == 0 { 0.0 } else { 0.9 },
                    "seed": number,
                    "stream": true,
                    "stream_options": {"include_usage": true},
                    "grace_period_seconds": GRACE_SECONDS,
                });
                match number % 4 {
                    1 => body["stop"] = json!(["\n\n"]),
                    2 => body["response_format"] = json!({"type": "json_object"}),
                    _ => body["ignore_eos"] = json!(true),
                }
                Self { body }
            })
            .collect()
    }
}
