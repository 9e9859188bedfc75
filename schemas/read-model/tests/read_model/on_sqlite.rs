//! The suite on SQLite, and what can be wrong with a file.

use read_model::{Database, ReadModelError, rebuild};

use crate::recorded_log::RecordedLog;
use crate::suite;

macro_rules! on_sqlite {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("record.db");
                suite::$name(&format!("sqlite://{}?mode=rwc", path.display())).await;
            }
        )*
    };
}

suite::for_each_test!(on_sqlite);

async fn check(url: &str, expected: &str, code: &str) {
    let error = Database::connect(url).await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_serve_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    check(&format!("sqlite://{}", path("missing.db")), "missing.db cannot be opened", "database_cannot_open")
        .await;
    check(
        &format!("sqlite://{}?mode=rwc", path("no/way.db")),
        "directory must exist",
        "database_cannot_open",
    )
    .await;
    std::fs::write(path("notes.txt"), "these are only my notes, not a table in sight. ".repeat(100)).unwrap();
    check(&format!("sqlite://{}?mode=rwc", path("notes.txt")), "no SQLite database", "not_a_database").await;
    check("mysql://root:hunter2@host/db", "has the scheme 'mysql'", "database_address").await;
    check("hunter2@host", "has no scheme", "database_address").await;
    check("postgres://me:hunter2@host:notaport/db", "cannot be read", "database_address").await;
}

#[tokio::test]
async fn a_read_only_file_answers_and_refuses_to_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.db").display().to_string();
    std::fs::write(&path, []).unwrap();
    check(&format!("sqlite://{path}?mode=ro"), "is read-only", "database_read_only").await;

    suite::projected_rows_equal_folded_facts(&format!("sqlite://{path}?mode=rw")).await;
    let database = Database::connect(&format!("sqlite://{path}?mode=ro")).await.unwrap();
    assert!(database.counts_by_status(None).await.unwrap().len() > 1);
    let error = rebuild(RecordedLog::new().shared(), &database).await.unwrap_err();
    assert!(matches!(error, ReadModelError::ReadOnly(_)), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_serves_one_process() {
    suite::projected_rows_equal_folded_facts("sqlite::memory:").await;
}

#[tokio::test]
async fn a_closed_database_is_unreachable() {
    let database = Database::connect("sqlite::memory:").await.unwrap();
    database.close().await.unwrap();
    let error = database.checkpoint().await.unwrap_err();
    assert!(matches!(error, ReadModelError::Unreachable { .. }), "{error}");
}
