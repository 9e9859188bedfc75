//! The engine: model files, tokenizer, chat templates, the CPU runner, sampling and the loop that ties them to the
//! batching scheduler; and the worker that ties the engine to the bus.
//!
//! It must not know HTTP or SQL. Start reading at [`engine`], then [`runner`] (the seam to a device) and [`worker`].

pub mod chat_template;
pub mod cpu_runner;
pub mod detokenizer;
pub mod engine;
pub mod engine_fingerprint;
pub mod grammar;
pub mod loaded_model;
pub mod lora;
pub mod model_file;
pub mod output_parser;
pub mod pooling;
pub mod runner;
pub mod runner_source;
pub mod sampler;
pub mod served_model;
pub mod speculation;
pub mod stop_strings;
pub mod tokenizer;
pub mod worker;
