//! The suite on a PostgreSQL server of its own, and what can be wrong with one.

use read_model::{Database, Role};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::contents::contents;
use crate::fold_properties::fold_all;
use crate::postgres_server::PostgresServer;
use crate::recorded_log::RecordedLog;
use crate::running_projector::RunningProjector;
use crate::suite;

macro_rules! on_postgres {
    ($($name:ident)*) => {
        /// One server for the whole suite, and a database for each test: starting a server takes seconds.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgres_passes_the_suite() {
            let server = PostgresServer::start();
            $(
                let url = server.create_database(stringify!($name));
                suite::$name(&url).await;
            )*
        }
    };
}

suite::for_each_test!(on_postgres);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_waited_for() {
    let server = PostgresServer::start();
    let database = Database::connect(&server.create_database("record")).await.unwrap();
    let history = suite::history(60);
    let (first, second) = history.split_at(history.len() / 2);
    let log = RecordedLog::of(first).await;
    let mut projector = RunningProjector::start(log.shared(), &database);
    projector.until_sequence(first.len() as u64).await;
    server.stop();
    log.record(second).await;
    projector.until(|progress| progress.role == Role::Waiting).await;
    server.resume();
    projector.until_sequence(history.len() as u64).await;
    projector.stop().await;
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

#[tokio::test]
async fn a_server_that_will_not_serve_is_named_without_its_password() {
    let server = PostgresServer::start();
    let missing = server.url("missing").replace("jetmill@", "jetmill:hunter2@");
    let refused = Database::connect(&missing).await.unwrap_err();
    assert_eq!(refused.code(), "database_refused", "{refused}");
    server.stop();
    let unreachable = Database::connect(&missing).await.unwrap_err();
    assert_eq!(unreachable.code(), "database_unreachable", "{unreachable}");
    for error in [refused, unreachable] {
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("/missing"), "{error}");
    }
}

#[tokio::test]
async fn a_server_behind_something_that_ends_its_connections_is_waited_for() {
    let server = PostgresServer::start();
    let url = server.create_database("record");
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap().to_string();
    let behind = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    let in_front = url.replace(&behind, &address);
    let forwarding = tokio::spawn(async move {
        for number in 0.. {
            let (mut client, _) = front.accept().await.unwrap();
            if number == 0 {
                continue;
            }
            let mut server = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    Database::connect(&in_front).await.unwrap().ping().await.unwrap();
    forwarding.abort();
}
