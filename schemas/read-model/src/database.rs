//! The door to the database: connecting, migrating, and what its errors mean.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};
use tokio::time::{Instant, sleep};

use crate::ReadModelError;
use crate::checkpoint::Checkpoint;
use crate::migrations::migrate;
use crate::schema::LIVE;

/// Longest wait for a connection, or for another process that writes to the same SQLite file.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a server that is not up yet, or that starts anew; as long as the broker is waited for.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// SQLite serves many readers beside one writer; more connections only cost threads.
const MAX_NUM_SQLITE_CONNECTIONS: u32 = 4;

const MAX_NUM_POSTGRES_CONNECTIONS: u32 = 10;

/// A connected and migrated database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) connection: DatabaseConnection,
    address: String,
}

impl Database {
    /// Connects to `sqlite://PATH?mode=rwc`, `sqlite::memory:` or `postgres://USER:PASSWORD@HOST/NAME` and brings its
    /// tables up to date. Several processes may do so at once. A server that cannot be reached is waited for a little.
    pub async fn connect(url: &str) -> Result<Self, ReadModelError> {
        let deadline = Instant::now() + FIRST_PATIENCE;
        loop {
            match Self::connect_once(url).await {
                Err(ReadModelError::Unreachable { .. }) if Instant::now() < deadline => sleep(PAUSE).await,
                connected => return connected,
            }
        }
    }

    async fn connect_once(url: &str) -> Result<Self, ReadModelError> {
        let (address, options) = options_for(url)?;
        let failed = |error: &DbErr| ReadModelError::of_driver(&address, error);
        let connection = sea_orm::Database::connect(options).await.map_err(|error| failed(&error))?;
        migrate(&connection).await.map_err(|error| failed(&error))?;
        Ok(Self { connection, address })
    }

    /// Where it is, without credentials.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it answers; for readiness.
    pub async fn ping(&self) -> Result<(), ReadModelError> {
        self.connection.ping().await.map_err(|error| self.failed(&error))
    }

    /// How far the tables have come.
    pub async fn checkpoint(&self) -> Result<Checkpoint, ReadModelError> {
        Checkpoint::load(&self.connection, &LIVE).await.map_err(|error| self.failed(&error))
    }

    /// Closes its connections; clones are closed with it.
    pub async fn close(&self) -> Result<(), ReadModelError> {
        self.connection.close_by_ref().await.map_err(|error| self.failed(&error))
    }

    pub(crate) fn failed(&self, error: &DbErr) -> ReadModelError {
        ReadModelError::of_driver(&self.address, error)
    }
}

fn options_for(url: &str) -> Result<(String, ConnectOptions), ReadModelError> {
    let scheme: String = url.chars().take_while(char::is_ascii_alphanumeric).take(16).collect();
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).acquire_timeout(PATIENCE).connect_timeout(PATIENCE);
    let unreadable = || ReadModelError::BadAddress("cannot be read".to_owned());
    match scheme.as_str() {
        "sqlite" => {
            let parsed: SqliteConnectOptions = url.parse().map_err(|_| unreadable())?;
            let is_in_memory = url.contains(":memory:") || url.contains("mode=memory");
            // Each connection to a database in memory has one of its own, which ends with it.
            let num_connections = if is_in_memory { 1 } else { MAX_NUM_SQLITE_CONNECTIONS };
            options.max_connections(num_connections).min_connections(1);
            if is_in_memory {
                options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
            }
            options.map_sqlx_sqlite_opts(|options| {
                // The log is the truth: a power failure may cost the last commits, which are folded again.
                options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(PATIENCE)
            });
            Ok((format!("sqlite:{}", parsed.get_filename().display()), options))
        }
        "postgres" | "postgresql" => {
            let parsed: PgConnectOptions = url.parse().map_err(|_| unreadable())?;
            options.max_connections(MAX_NUM_POSTGRES_CONNECTIONS);
            let name = parsed.get_database().unwrap_or_default();
            Ok((format!("postgres://{}:{}/{name}", parsed.get_host(), parsed.get_port()), options))
        }
        other if url[other.len()..].starts_with("://") => {
            Err(ReadModelError::BadAddress(format!("has the scheme '{other}'")))
        }
        _ => Err(ReadModelError::BadAddress("has no scheme".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bus::{Append, EventLog, Expect, MemoryLog, StreamName};
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::rebuild;

    #[tokio::test]
    async fn tables_of_an_older_build_serve_until_they_are_folded_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("record.db").display());
        let database = Database::connect(&url).await.unwrap();
        let older = [
            "ALTER TABLE inferences DROP COLUMN num_reasoning_tokens",
            "ALTER TABLE inferences DROP COLUMN cost_nanos",
            "ALTER TABLE inferences DROP COLUMN cost_currency",
            "DELETE FROM seaql_migrations WHERE version = 'm0002_costs'",
            "UPDATE projection_checkpoints SET version = 1",
            "INSERT INTO inferences (id, tenant, status, num_attempts, requested_at_unix_nanos) \
             VALUES ('0198c6f000007000800000000000002a', 'acme', 'completed', 1, 7)",
        ];
        for statement in older {
            database.connection.execute_unprepared(statement).await.unwrap();
        }
        database.close().await.unwrap();
        let database = Database::connect(&url).await.unwrap();
        let page = database.inferences(&crate::InferenceFilter::default()).await.unwrap();
        assert_eq!(page.inferences[0].cost_nanos, None);
        assert_eq!(database.checkpoint().await.unwrap().version, 1);
        rebuild(Arc::new(MemoryLog::new()), &database).await.unwrap();
        assert_eq!(database.checkpoint().await.unwrap().version, crate::fold::FOLD_VERSION);
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_loses_nothing() {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        let log = MemoryLog::new();
        for number in 0..200 {
            let append = Append {
                stream: StreamName::Inference,
                subject: format!("inference.requested.acme.{number}"),
                payload: b"no envelope".as_slice().into(),
                expect: Expect::FirstOnSubject,
            };
            log.append(append).await.unwrap();
        }
        let before = database.checkpoint().await.unwrap();
        let limit = async |pragma: &str| database.connection.execute_unprepared(pragma).await.unwrap();
        limit("PRAGMA max_page_count = 1").await;
        let error = rebuild(Arc::new(log.clone()), &database).await.unwrap_err();
        assert!(matches!(error, ReadModelError::DiskFull(_)), "{error}");
        assert!(error.is_retryable());
        assert_eq!(database.checkpoint().await.unwrap(), before);
        limit("PRAGMA max_page_count = 100000").await;
        assert_eq!(rebuild(Arc::new(log), &database).await.unwrap().num_facts, 200);
    }
}
