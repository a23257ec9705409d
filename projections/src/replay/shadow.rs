//! Tables beside the live ones: built in a schema of their own, and put in their place in one transaction.
//!
//! What the live tables have, the new ones get: columns, storage, keys, indexes under the same names,
//! owner, rights and triggers. Names are looked up along the search path, so whatever writes the live tables
//! writes the shadow when its schema comes first.

use sqlx::{Connection as _, PgConnection};

use super::rebuild::RebuildError;
use crate::error::Error;

/// How long the exchange waits for readers, in milliseconds. Whoever comes after waits behind it, so it
/// gives up before anybody is hurt, or takes it for a deadlock.
const READERS_TIMEOUT: &str = "300";

/// How long the exchange waits for writers, in milliseconds: long enough to end an automatic vacuum,
/// shorter than writers wait for a lock.
const WRITERS_TIMEOUT: &str = "2500";

/// The server ends the exchange of a process that is stopped in the middle of it.
const IDLE_TIMEOUT: &str = "2000";

/// The tables of a projection, live, in the making and of before.
#[derive(Clone, Debug)]
pub(super) struct Shadow {
    /// Schema of the live tables, as an identifier.
    pub(super) live: String,
    /// Schema of the tables in the making.
    pub(super) schema: String,
    /// Schema of the tables that were live before.
    pub(super) previous: String,
    /// The tables, in the order in which writers lock them.
    pub(super) tables: &'static [&'static str],
}

/// How far a shadow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShadowProgress {
    /// The log was read up to here.
    pub(super) position: i64,
    /// Whether every resource was written once.
    pub(super) is_loaded: bool,
    /// The newest migration when it was made.
    pub(super) migration: i64,
    /// Resources and events that were folded.
    pub(super) resources: i64,
    /// Events that were folded.
    pub(super) events: i64,
}

impl Shadow {
    pub(super) async fn of(
        connection: &mut PgConnection,
        projection: &str,
        tables: &'static [&'static str],
    ) -> Result<Self, Error> {
        let live: String = sqlx::query_scalar("SELECT quote_ident(current_schema())")
            .fetch_one(connection)
            .await?;
        Ok(Self {
            live,
            schema: format!("rebuild_{projection}"),
            previous: format!("previous_{projection}"),
            tables,
        })
    }

    pub(super) async fn is_in_the_making(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, Error> {
        has_schema(connection, &self.schema).await
    }

    pub(super) async fn has_previous(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        has_schema(connection, &self.previous).await
    }

    /// Makes the empty tables, within the caller's transaction.
    pub(super) async fn create(
        &self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<(), RebuildError> {
        self.refuse_views(&mut *connection).await?;
        let schema = &self.schema;
        execute(&mut *connection, &format!("CREATE SCHEMA {schema}")).await?;
        for table in self.tables {
            let like = format!(
                "CREATE TABLE {schema}.{table} (LIKE {}.{table} INCLUDING ALL EXCLUDING INDEXES)",
                self.live
            );
            execute(&mut *connection, &like).await?;
            for statement in self.likeness(&mut *connection, table).await? {
                execute(&mut *connection, &statement).await?;
            }
        }
        let progress = format!(
            "CREATE TABLE {schema}.progress (position bigint NOT NULL, is_loaded boolean NOT NULL,
                 migration bigint NOT NULL, resources bigint NOT NULL, events bigint NOT NULL)"
        );
        execute(&mut *connection, &progress).await?;
        let migration = newest_migration(&mut *connection).await?;
        sqlx::query(&format!(
            "INSERT INTO {schema}.progress VALUES ($1, false, $2, 0, 0)"
        ))
        .bind(position)
        .bind(migration)
        .execute(connection)
        .await
        .map_err(Error::from)?;
        Ok(())
    }

    /// What makes a table like the live one, beside its columns: keys, settings, owner, rights.
    async fn likeness(
        &self,
        connection: &mut PgConnection,
        table: &str,
    ) -> Result<Vec<String>, Error> {
        let statements = sqlx::query_scalar(
            "SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2, conname, pg_get_constraintdef(oid))
             FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u')
             UNION ALL
             SELECT format('ALTER TABLE %s SET (%s)', $2, array_to_string(reloptions, ', '))
             FROM pg_class WHERE oid = $1::regclass AND reloptions IS NOT NULL
             UNION ALL
             SELECT format('ALTER TABLE %s OWNER TO %I', $2, pg_get_userbyid(relowner))
             FROM pg_class WHERE oid = $1::regclass AND relowner <> current_user::regrole
             UNION ALL
             SELECT format('GRANT %s ON %s TO %s', privilege_type, $2,
                 CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
             FROM pg_class, aclexplode(relacl) WHERE oid = $1::regclass AND grantee <> relowner",
        )
        .bind(format!("{}.{table}", self.live))
        .bind(format!("{}.{table}", self.schema))
        .fetch_all(connection)
        .await?;
        Ok(statements)
    }

    /// Views follow a table wherever it goes, so those of the live tables would go on to show the old ones.
    async fn refuse_views(&self, connection: &mut PgConnection) -> Result<(), RebuildError> {
        let views: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT ev_class::regclass::text FROM pg_depend
             JOIN pg_rewrite ON pg_rewrite.oid = objid
             WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
               AND refobjid = ANY($1::text[]::regclass[]) AND ev_class <> refobjid
             ORDER BY 1",
        )
        .bind(
            self.tables
                .iter()
                .map(|table| format!("{}.{table}", self.live))
                .collect::<Vec<_>>(),
        )
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
        if views.is_empty() {
            return Ok(());
        }
        Err(RebuildError::Views(views.join(", ")))
    }

    /// Makes the indexes that are not there yet, each by itself, and gathers statistics.
    pub(super) async fn index(&self, connection: &mut PgConnection) -> Result<(), Error> {
        for table in self.tables {
            let statements: Vec<String> = sqlx::query_scalar(
                "SELECT replace(indexdef, format(' ON %s.%I ', $1, tablename),
                     format(' ON %I.%I ', $2, tablename))
                 FROM pg_indexes AS live
                 WHERE quote_ident(schemaname) = $1 AND tablename = $3 AND NOT EXISTS (
                     SELECT FROM pg_indexes AS made
                     WHERE made.schemaname = $2 AND made.indexname = live.indexname)",
            )
            .bind(&self.live)
            .bind(&self.schema)
            .bind(table)
            .fetch_all(&mut *connection)
            .await?;
            for statement in statements {
                execute(&mut *connection, &statement).await?;
            }
            execute(
                &mut *connection,
                &format!("ANALYZE {}.{table}", self.schema),
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn progress(
        &self,
        connection: &mut PgConnection,
    ) -> Result<ShadowProgress, Error> {
        let query = format!(
            "SELECT position, is_loaded, migration, resources, events FROM {}.progress",
            self.schema
        );
        let (position, is_loaded, migration, resources, events) =
            sqlx::query_as(&query).fetch_one(connection).await?;
        Ok(ShadowProgress {
            position,
            is_loaded,
            migration,
            resources,
            events,
        })
    }

    /// Refuses a shadow that was made by other migrations than the live tables.
    pub(super) async fn refuse_outdated(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), RebuildError> {
        let made = self.progress(&mut *connection).await?.migration;
        if newest_migration(connection).await? == made {
            return Ok(());
        }
        Err(RebuildError::Migrated(self.schema.clone()))
    }

    /// Begins to write into the shadow: names mean its tables until the transaction ends. What is written
    /// may be lost with the progress that was made by it.
    pub(super) async fn enter(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let path = format!("{}, {}", self.schema, self.live);
        sqlx::query(
            "SELECT set_config('search_path', $1, true), set_config('synchronous_commit', 'off', true)",
        )
        .bind(path)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Keeps writers of the live tables out until the transaction ends; readers go on.
    pub(super) async fn hold_writers(
        &self,
        connection: &mut PgConnection,
        also: &[&str],
    ) -> Result<(), Error> {
        sqlx::query(
            "SELECT set_config('lock_timeout', $1, true),
                 set_config('idle_in_transaction_session_timeout', $2, true)",
        )
        .bind(WRITERS_TIMEOUT)
        .bind(IDLE_TIMEOUT)
        .execute(&mut *connection)
        .await?;
        let names: Vec<String> = self
            .tables
            .iter()
            .chain(also)
            .map(|table| format!("{}.{table}", self.live))
            .collect();
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
        execute(connection, &lock).await
    }

    /// Puts the shadow in the place of the live tables, which become the previous ones. Readers wait from
    /// here to the end of the transaction.
    pub(super) async fn exchange(
        &self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<(), Error> {
        let Self {
            live,
            schema,
            previous,
            tables,
        } = self;
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(READERS_TIMEOUT)
            .execute(&mut *connection)
            .await?;
        let names: Vec<String> = tables
            .iter()
            .map(|table| format!("{live}.{table}"))
            .collect();
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
        execute(&mut *connection, &lock).await?;
        let triggers: Vec<String> = sqlx::query_scalar(
            "SELECT pg_get_triggerdef(trigger.oid) FROM pg_trigger AS trigger
             JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_namespace ON pg_namespace.oid = pronamespace
             WHERE tgrelid = ANY($1::text[]::regclass[]) AND NOT tgisinternal AND nspname <> $2",
        )
        .bind(&names)
        .bind(schema)
        .fetch_all(&mut *connection)
        .await?;
        let mut statements = vec![
            format!("DROP SCHEMA IF EXISTS {previous} CASCADE"),
            format!("CREATE SCHEMA {previous}"),
        ];
        for table in *tables {
            statements.push(format!("ALTER TABLE {live}.{table} SET SCHEMA {previous}"));
            statements.push(format!("ALTER TABLE {schema}.{table} SET SCHEMA {live}"));
        }
        // They name the live tables, which by now are the new ones.
        statements.extend(triggers);
        statements.push(format!(
            "ALTER TABLE {schema}.progress SET SCHEMA {previous}"
        ));
        statements.push(format!(
            "UPDATE {previous}.progress SET position = {position}, is_loaded = true"
        ));
        statements.push(format!("DROP SCHEMA {schema} CASCADE"));
        for statement in statements {
            execute(&mut *connection, &statement).await?;
        }
        Ok(())
    }

    /// Makes the previous tables the ones in the making, within the caller's transaction.
    pub(super) async fn take_previous(&self, connection: &mut PgConnection) -> Result<(), Error> {
        // Their triggers fill counts of the live tables; they get them back when they are live again.
        let triggers: Vec<String> = sqlx::query_scalar(
            "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
             WHERE tgrelid = ANY($1::text[]::regclass[]) AND NOT tgisinternal",
        )
        .bind(
            self.tables
                .iter()
                .map(|table| format!("{}.{table}", self.previous))
                .collect::<Vec<_>>(),
        )
        .fetch_all(&mut *connection)
        .await?;
        for statement in triggers {
            execute(&mut *connection, &statement).await?;
        }
        let rename = format!("ALTER SCHEMA {} RENAME TO {}", self.previous, self.schema);
        execute(connection, &rename).await
    }

    /// Forgets the tables in the making, within the caller's transaction. Triggers on the live tables go with
    /// them, for which readers wait; so it gives up before anybody is hurt.
    pub(super) async fn abandon(&self, connection: &mut PgConnection) -> Result<(), Error> {
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(READERS_TIMEOUT)
            .execute(&mut *connection)
            .await?;
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        execute(connection, &drop).await
    }

    /// Deletes the previous tables; whether there were any.
    pub(super) async fn drop_previous(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        let was_there = self.has_previous(&mut *connection).await?;
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.previous);
        execute(connection, &drop).await?;
        Ok(was_there)
    }

    /// How rows of the live tables and of the shadow differ, as of one moment: how many, and the first of
    /// them. `settled` makes a condition on the first column of a key; it leaves out what is about to be
    /// written again.
    pub(super) async fn compare(
        &self,
        connection: &mut PgConnection,
        settled: impl Fn(&str) -> String,
    ) -> Result<super::Report, Error> {
        let mut report = super::Report::default();
        let mut transaction = connection.begin().await?;
        execute(
            &mut transaction,
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        )
        .await?;
        for table in self.tables {
            let keys: Vec<String> = sqlx::query_scalar(
                "SELECT quote_ident(attname) FROM pg_index
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
                 WHERE indrelid = $1::regclass AND indisprimary ORDER BY array_position(indkey, attnum)",
            )
            .bind(format!("{}.{table}", self.live))
            .fetch_all(&mut *transaction)
            .await?;
            let columns = keys.join(", ");
            let sql = format!(
                "SELECT concat_ws(' ', {columns}), CASE WHEN made IS NULL THEN 'goes'
                     WHEN live IS NULL THEN 'comes' ELSE 'changes' END
                 FROM {}.{table} AS live FULL JOIN {}.{table} AS made USING ({columns})
                 WHERE (live.*) IS DISTINCT FROM (made.*) AND ({}) ORDER BY 1",
                self.live,
                self.schema,
                settled(&keys[0])
            );
            let rows: Vec<(String, String)> =
                sqlx::query_as(&sql).fetch_all(&mut *transaction).await?;
            for (key, what) in rows {
                report.add(&format!("{table} {key}"), what);
            }
        }
        transaction.rollback().await?;
        Ok(report)
    }
}

async fn has_schema(connection: &mut PgConnection, schema: &str) -> Result<bool, Error> {
    let has = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(schema)
        .fetch_one(connection)
        .await?;
    Ok(has)
}

async fn newest_migration(connection: &mut PgConnection) -> Result<i64, Error> {
    let newest = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?;
    Ok(newest)
}

/// Runs a statement once; it is not kept prepared.
pub(super) async fn execute(connection: &mut PgConnection, statement: &str) -> Result<(), Error> {
    sqlx::raw_sql(statement).execute(connection).await?;
    Ok(())
}
