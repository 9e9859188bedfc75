//! The read model on real databases: one suite that SQLite and PostgreSQL both pass, and what is particular to each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what broke by panicking"
)]

mod contents;
mod lives;
mod postgres_server;
mod recorded_log;
mod running_projector;
mod suite;

mod fold_properties;
mod on_postgres;
mod on_sqlite;
