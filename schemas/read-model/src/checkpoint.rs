//! How far a set of tables has come, and who may move it.

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use crate::entity::checkpoint::{Column, Entity, Model};
use crate::fold::{FOLD_VERSION, signed};
use crate::schema::Tables;

/// A place in the log, and the rules and rebuild that the tables come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Checkpoint {
    /// The last stream sequence that is folded in.
    pub last_sequence: u64,
    /// Version of the folding rules.
    pub version: i32,
    /// Grows with each rebuild.
    pub generation: i64,
}

impl Checkpoint {
    /// Before the first record of the log, by our rules.
    pub(crate) const fn at_start(generation: i64) -> Self {
        Self { last_sequence: 0, version: FOLD_VERSION, generation }
    }

    pub(crate) const fn moved_to(self, last_sequence: u64) -> Self {
        Self { last_sequence, ..self }
    }

    /// Where the tables stand.
    pub(crate) async fn load(connection: &impl ConnectionTrait, tables: &Tables) -> Result<Self, DbErr> {
        let row = Entity::find_by_id(tables.projection).one(connection).await?;
        row.map(Self::from)
            .ok_or_else(|| DbErr::RecordNotFound(format!("the checkpoint of {}", tables.projection)))
    }

    /// Moves it from `self` to `to` if nobody else has moved it; whether it did. As the first statement of a
    /// transaction it also takes the right to write the tables until the end of it.
    pub(crate) async fn advance(
        self,
        connection: &impl ConnectionTrait,
        tables: &Tables,
        to: Self,
    ) -> Result<bool, DbErr> {
        let update = Query::update()
            .table(Entity)
            .value(Column::LastSequence, signed(to.last_sequence))
            .value(Column::Version, to.version)
            .value(Column::Generation, to.generation)
            .and_where(Expr::col(Column::Projection).eq(tables.projection))
            .and_where(Expr::col(Column::LastSequence).eq(signed(self.last_sequence)))
            .and_where(Expr::col(Column::Generation).eq(self.generation))
            .take();
        Ok(connection.execute(&update).await?.rows_affected() == 1)
    }

    /// Takes the right to write the tables until the end of the transaction, and says where they stand.
    pub(crate) async fn lock(connection: &impl ConnectionTrait, tables: &Tables) -> Result<Self, DbErr> {
        let touch = Query::update()
            .table(Entity)
            .value(Column::Generation, Expr::col(Column::Generation))
            .and_where(Expr::col(Column::Projection).eq(tables.projection))
            .take();
        connection.execute(&touch).await?;
        Self::load(connection, tables).await
    }
}

impl From<Model> for Checkpoint {
    fn from(row: Model) -> Self {
        Self {
            last_sequence: u64::try_from(row.last_sequence).unwrap_or(0),
            version: row.version,
            generation: row.generation,
        }
    }
}
