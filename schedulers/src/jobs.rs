//! Batches: every line of a file becomes an inference, and their ends become the result files.
//!
//! [`serve`] takes batches from the log and holds each until it is over. What it knows of a batch is in the log alone: an
//! inference's id follows from the batch and the line ([`LinePlace`]), so that whoever goes on with it asks for nothing
//! twice. [`Window`] decides which lines are under way and how far the batch is; what a line means and how an answer is
//! written is another room's knowledge, behind [`LineCodec`].

mod answering;
mod cancelling;
mod ends;
mod input;
mod line_codec;
mod line_place;
mod line_reader;
mod models;
mod results;
mod run;
mod service;
mod sweeper;
mod window;

pub use line_codec::{LineCodec, Row, Unread};
pub use line_place::{LinePlace, ResultFile};
pub use line_reader::{Line, LineReader};
pub use service::{JobsOptions, serve};
pub use window::{Window, WindowLimits};
