//! The first tables.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Set};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use crate::entity::checkpoint;
use crate::fold::FOLD_VERSION;
use crate::schema::{LIVE, SHADOW, checkpoints};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_inferences"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for table in LIVE.create(connection.get_database_backend()) {
            manager.create_table(table).await?;
        }
        for index in LIVE.create_indexes(0) {
            manager.create_index(index).await?;
        }
        manager.create_table(checkpoints()).await?;
        let beginnings = [LIVE, SHADOW].map(|tables| checkpoint::ActiveModel {
            projection: Set(tables.projection.to_owned()),
            last_sequence: Set(0),
            version: Set(FOLD_VERSION),
            generation: Set(0),
        });
        checkpoint::Entity::insert_many(beginnings).exec_without_returning(connection).await?;
        Ok(())
    }
}
