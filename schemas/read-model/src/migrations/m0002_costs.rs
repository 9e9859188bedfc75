//! What inferences cost.

use sea_orm::sea_query::Table;
use sea_orm::{DbErr, IdenStatic as _};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use crate::entity::inference::Column;
use crate::schema::{LIVE, inference_column};

const COLUMNS: [Column; 3] = [Column::NumReasoningTokens, Column::CostNanos, Column::CostCurrency];

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_costs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            // Tables that were made just now have it already.
            if !manager.has_column(LIVE.inferences, column.as_str()).await? {
                let mut definition = inference_column(column);
                let add = Table::alter().table(LIVE.inferences).add_column(&mut definition).take();
                manager.alter_table(add).await?;
            }
        }
        Ok(())
    }
}
