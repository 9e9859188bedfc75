//! OpenAI's JSON shapes, with the extensions that vLLM's users know; converted here and nowhere else.

pub(crate) mod answer;
pub(crate) mod batch_object;
pub(crate) mod batch_request;
pub(crate) mod chat_answer;
pub(crate) mod chat_message;
pub(crate) mod chat_request;
pub(crate) mod completion_answer;
pub(crate) mod completion_request;
pub(crate) mod embedding_answer;
pub(crate) mod embedding_request;
pub(crate) mod file_object;
pub(crate) mod grammar_fields;
pub(crate) mod json_schema;
pub(crate) mod logprobs;
pub(crate) mod prompt_field;
pub(crate) mod rerank;
pub(crate) mod sampling_fields;
pub(crate) mod score;
pub(crate) mod string_or_list;
pub(crate) mod tool_fields;
pub(crate) mod unsupported_fields;
pub(crate) mod usage;
