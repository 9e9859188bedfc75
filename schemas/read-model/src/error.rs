//! What can go wrong between the log and the tables.

use bus::BusError;
use sea_orm::sqlx::Error as DriverError;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{DbErr, RuntimeErr, SqlxPostgresError};
use thiserror::Error;

/// A failure of the read model. None of its texts holds a credential or a request's content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadModelError {
    /// The address names no database that we speak.
    #[error(
        "the database address {0}; sqlite://PATH?mode=rwc or postgres://USER:PASSWORD@HOST/NAME is needed"
    )]
    BadAddress(String),
    /// The database does not answer, or no connection became free in time.
    #[error("database {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where, without credentials.
        address: String,
        /// What the driver said.
        reason: String,
    },
    /// It answers and will not let us in.
    #[error("database {address} refused the connection: {reason}")]
    Refused {
        /// Where, without credentials.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The file or its directory cannot be opened.
    #[error(
        "database {0} cannot be opened: its directory must exist and be writable, and '?mode=rwc' must stand in the \
         address if the file is to be made"
    )]
    CannotOpen(String),
    /// The file holds something else.
    #[error("{0} is no SQLite database, or it is damaged")]
    NotADatabase(String),
    /// It can be read and not written.
    #[error("database {0} is read-only")]
    ReadOnly(String),
    /// Its disk has no room.
    #[error("the disk of database {0} is full")]
    DiskFull(String),
    /// Somebody else held a lock for too long.
    #[error("database {0} is busy")]
    Busy(String),
    /// Anything else that the database said.
    #[error("database {address}: {reason}")]
    Database {
        /// Where, without credentials.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The log cannot be read.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// The tables know more than the log holds, so they were folded from another log.
    #[error(
        "the tables were folded up to sequence {checkpoint} and the log ends at {log}: they belong to another log, rebuild them"
    )]
    AnotherLog {
        /// Where the tables stand.
        checkpoint: u64,
        /// Where the log ends.
        log: u64,
    },
    /// The tables were folded by a newer build.
    #[error("the tables were folded by rules of version {found}, this build knows version {known}")]
    NewerTables {
        /// The version in the tables.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Another rebuild began after this one and goes on instead.
    #[error("another rebuild began and goes on instead of this one")]
    RebuildSuperseded,
}

impl ReadModelError {
    /// A stable word for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadAddress(_) => "database_address",
            Self::Unreachable { .. } => "database_unreachable",
            Self::Refused { .. } => "database_refused",
            Self::CannotOpen(_) => "database_cannot_open",
            Self::NotADatabase(_) => "not_a_database",
            Self::ReadOnly(_) => "database_read_only",
            Self::DiskFull(_) => "database_disk_full",
            Self::Busy(_) => "database_busy",
            Self::Database { .. } => "database",
            Self::Bus(error) => error.code(),
            Self::AnotherLog { .. } => "another_log",
            Self::NewerTables { .. } => "newer_tables",
            Self::RebuildSuperseded => "rebuild_superseded",
        }
    }

    /// Whether the same call may succeed later without anybody's help with the configuration.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::DiskFull(_) | Self::Busy(_) => true,
            Self::Bus(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Sorts what the driver said about the database at `address`, which must hold no credentials.
    pub(crate) fn of_driver(address: &str, error: &DbErr) -> Self {
        let address = address.to_owned();
        let (DbErr::Conn(RuntimeErr::SqlxError(driver))
        | DbErr::Exec(RuntimeErr::SqlxError(driver))
        | DbErr::Query(RuntimeErr::SqlxError(driver))) = error
        else {
            let reason = error.to_string();
            return match error {
                DbErr::ConnectionAcquire(_) => Self::Unreachable { address, reason },
                _ => Self::Database { address, reason },
            };
        };
        match driver.as_ref() {
            DriverError::Database(said) => of_code(address, said.as_ref()),
            // What is in front of a server that is away may take a connection and end it, which PostgreSQL's driver does not
            // tell from nonsense.
            DriverError::Io(_)
            | DriverError::Protocol(_)
            | DriverError::Tls(_)
            | DriverError::PoolTimedOut
            | DriverError::PoolClosed => Self::Unreachable { address, reason: driver.to_string() },
            _ => Self::Database { address, reason: driver.to_string() },
        }
    }
}

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>) and PostgreSQL's SQLSTATEs
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_code(address: String, said: &dyn DatabaseError) -> ReadModelError {
    let code = said.code().unwrap_or_default();
    // PostgreSQL names offending values only in its detail, which is left out.
    let reason = said.message().to_owned();
    if said.try_downcast_ref::<SqlxPostgresError>().is_some() {
        return match code.as_ref() {
            "53100" => ReadModelError::DiskFull(address),
            "25006" => ReadModelError::ReadOnly(address),
            "40001" | "40P01" | "55P03" => ReadModelError::Busy(address),
            "57P01" | "57P02" | "57P03" | "53300" => ReadModelError::Unreachable { address, reason },
            code if code.starts_with("08") => ReadModelError::Unreachable { address, reason },
            code if code.starts_with("28") || code == "3D000" => ReadModelError::Refused { address, reason },
            _ => ReadModelError::Database { address, reason },
        };
    }
    // The low byte of an extended result code is the primary one.
    match code.parse::<u32>().map(|extended| extended & 0xff) {
        Ok(5 | 6) => ReadModelError::Busy(address),
        Ok(8) => ReadModelError::ReadOnly(address),
        Ok(13) => ReadModelError::DiskFull(address),
        Ok(14) => ReadModelError::CannotOpen(address),
        Ok(11 | 26) => ReadModelError::NotADatabase(address),
        _ => ReadModelError::Database { address, reason },
    }
}
