//! What made the tables, step by step; safe when several processes start at once.

mod m0001_inferences;
mod m0002_costs;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Key of the PostgreSQL advisory lock that migrating processes take: "jetmill" in ASCII.
const MIGRATION_LOCK: i64 = 0x006a_6574_6d69_6c6c;

struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_inferences::Migration), Box::new(m0002_costs::Migration)]
    }
}

/// Applies what is missing, in one transaction that holds off every other migrating process.
pub(crate) async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    if connection.get_database_backend() == DbBackend::Postgres {
        let lock = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT pg_advisory_xact_lock($1)",
            [MIGRATION_LOCK.into()],
        );
        transaction.execute_raw(lock).await?;
    }
    Migrations::up(&transaction, None).await?;
    transaction.commit().await
}
