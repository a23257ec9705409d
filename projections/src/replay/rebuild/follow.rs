//! What changes while a shadow is built: the log says which resources have new events, and a trigger on the
//! live table which rows moved otherwise, by liveness. Both are applied to the shadow until nothing is left.

use std::collections::BTreeSet;

use sqlx::{Acquire as _, PgConnection, Row as _};

use super::super::fold;
use super::super::shadow::{Shadow, execute};
use super::load;
use crate::error::Error;
use crate::inline::{self, Change, liveness};
use crate::resource_view::read_state;

/// Changes that are applied in one transaction.
const BATCH: i64 = 1000;

/// Begins to note which live rows change. The trigger comes in when no writer is at work, so none is
/// missed; it runs with the rights of who made it.
pub(super) async fn watch(connection: &mut PgConnection, shadow: &Shadow) -> Result<(), Error> {
    let (live, schema) = (&shadow.live, &shadow.schema);
    for statement in [
        format!("CREATE TABLE {schema}.changed (changed_id text COLLATE \"C\" NOT NULL)"),
        format!(
            "CREATE FUNCTION {schema}.note_changed() RETURNS trigger LANGUAGE plpgsql
             SECURITY DEFINER SET search_path = {schema} AS $$
             BEGIN
                 INSERT INTO changed SELECT id FROM new_rows;
                 RETURN NULL;
             END
             $$"
        ),
        format!(
            "CREATE TRIGGER note_inserted AFTER INSERT ON {live}.resources
             REFERENCING NEW TABLE AS new_rows
             FOR EACH STATEMENT EXECUTE FUNCTION {schema}.note_changed()"
        ),
        format!(
            "CREATE TRIGGER note_updated AFTER UPDATE ON {live}.resources
             REFERENCING NEW TABLE AS new_rows
             FOR EACH STATEMENT EXECUTE FUNCTION {schema}.note_changed()"
        ),
    ] {
        execute(&mut *connection, &statement).await?;
    }
    Ok(())
}

/// Applies the next changes in a transaction of its own. Returns how many there were.
pub(super) async fn follow(connection: &mut PgConnection, shadow: &Shadow) -> Result<u64, Error> {
    let mut transaction = connection.begin().await?;
    let changes = follow_in(&mut transaction, shadow).await?;
    transaction.commit().await?;
    Ok(changes)
}

/// As [`follow`], in the caller's transaction.
pub(super) async fn follow_in(
    connection: &mut PgConnection,
    shadow: &Shadow,
) -> Result<u64, Error> {
    shadow.enter(&mut *connection).await?;
    let noted: Vec<String> = sqlx::query_scalar(
        "DELETE FROM changed WHERE ctid = ANY(ARRAY(SELECT ctid FROM changed LIMIT $1)) RETURNING changed_id",
    )
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let logged = sqlx::query(
        "SELECT aggregate_id, position FROM events
         WHERE position > (SELECT position FROM progress) AND aggregate_type = $2
         ORDER BY position LIMIT $1",
    )
    .bind(BATCH)
    .bind(crate::AGGREGATE_TYPE)
    .fetch_all(&mut *connection)
    .await?;
    let changes = (noted.len() + logged.len()) as u64;
    let mut ids: BTreeSet<String> = noted.into_iter().collect();
    for row in &logged {
        ids.insert(row.try_get("aggregate_id")?);
    }
    let ids: Vec<String> = ids.into_iter().collect();
    for some in ids.chunks(usize::try_from(load::BATCH).unwrap_or(1)) {
        load::write(&mut *connection, shadow, some).await?;
    }
    if let Some(last) = logged.last() {
        sqlx::query("UPDATE progress SET position = $1")
            .bind(last.try_get::<i64, _>("position")?)
            .execute(connection)
            .await?;
    }
    Ok(changes)
}

/// Makes the condition on a column of ids that no change of the resource is waiting.
pub(super) async fn settled(
    connection: &mut PgConnection,
    shadow: &Shadow,
) -> Result<impl Fn(&str) -> String + use<>, Error> {
    let position = shadow.progress(connection).await?.position;
    let (live, schema) = (shadow.live.clone(), shadow.schema.clone());
    Ok(move |id: &str| {
        format!(
            "NOT EXISTS (SELECT FROM {schema}.changed WHERE changed_id = {id})
             AND NOT EXISTS (SELECT FROM {live}.events AS waiting
                 WHERE waiting.position > {position} AND waiting.aggregate_id = {id})"
        )
    })
}

/// Brings the liveness of the live rows to rows of the shadow that are of the same version, without folding
/// them again: what they say otherwise is what a roll-back is for.
pub(super) async fn adopt_liveness(
    connection: &mut PgConnection,
    shadow: &Shadow,
) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let mut transaction = connection.begin().await?;
        shadow.enter(&mut transaction).await?;
        let query = format!(
            "SELECT id, old.version, old.state FROM resources AS old
             JOIN {}.resources AS live USING (id)
             WHERE id > $1 AND old.version = live.version AND old.state IS DISTINCT FROM live.state
             ORDER BY id LIMIT $2",
            shadow.live
        );
        let rows = sqlx::query(&query)
            .bind(&after)
            .bind(load::BATCH)
            .fetch_all(&mut *transaction)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.try_get("id")?;
        let ids: Vec<String> = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Result<_, _>>()?;
        let known = load::live_states(&mut transaction, shadow, &ids).await?;
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        for (row, id) in rows.iter().zip(&ids) {
            let mut resource = read_state(id, row)?;
            if let Some(known) = known.get(id) {
                liveness::adopt(&mut resource, known);
            }
            changes.push(load::change(
                fold::Folded {
                    resource,
                    version: row.try_get("version")?,
                },
                &known,
            ));
        }
        inline::write(&mut transaction, &changes).await?;
        transaction.commit().await?;
    }
}
