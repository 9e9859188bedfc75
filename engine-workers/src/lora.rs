//! LoRA adapters: low-rank corrections to a base model's matrices, chosen by each sequence.
//!
//! Start at [`adapter::LoraAdapter`]; `peft` reads what Hugging Face's PEFT writes, [`registry`] keeps what is loaded.

pub mod adapter;
pub mod error;
pub mod registry;

mod peft;
mod peft_config;
