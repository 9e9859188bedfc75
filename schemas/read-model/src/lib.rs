//! Folds facts into SQL rows and answers queries over them.
//!
//! It owns every table, and is the only crate that knows sea-orm: entities, migrations, the projector that follows the
//! log, the rebuild that starts over, and the queries. It must not know HTTP, NATS or what an engine does, and it never
//! stores the text of a prompt or an answer. Any table can be dropped and folded again from the log.
//!
//! Start reading at [`fold`], which says what each fact does to a row; then [`Projector`], which keeps the tables up
//! with the log; then the queries on [`Database`].

mod batch;
mod checkpoint;
mod database;
mod entity;
mod error;
mod fold;
mod log_reader;
mod migrations;
mod page;
mod projector;
mod queries;
mod rebuild;
mod schema;
mod store;

pub use batch::Unreadable;
pub use checkpoint::Checkpoint;
pub use database::Database;
pub use entity::fact::Model as FactRow;
pub use entity::inference::{Model as InferenceRow, Status};
pub use entity::unreadable_fact::Model as UnreadableFactRow;
pub use error::ReadModelError;
pub use fold::{RowChange, fold};
pub use page::{Cursor, CursorError, InferencePage};
pub use projector::{Progress, Projector, ProjectorSettings, Role};
pub use queries::{InferenceFilter, ModelUsage, StatusCount, UsageFilter};
pub use rebuild::{RebuildReport, rebuild};
