//! A large fleet written straight into the read models, and the searches that clients send.
//!
//! The fleet: of every five resources four are clusters and one is a node pool; labels of 2 (`env`),
//! 50 (`shard`) and 500 (`team`) values; one in a hundred is not reconciled, at random; conditions
//! were last updated at random within the last half hour. Rows are as wide as real ones.

use anyhow::Result;
use hyperfleet_projections::resource_view::{Filter, ReferenceFilter};
use hyperfleet_projections::search;
use sqlx::PgPool;

const RESOURCES: &str = r"
INSERT INTO resources (
    id, kind, name, href, owner_id, owner_kind, owner_href, generation, spec, labels, tenancy,
    created_time, updated_time, created_by, updated_by, version, state, search_keys)
SELECT id, kind, name, '/' || id, owner_id, CASE WHEN owner_id IS NOT NULL THEN 'Cluster' END,
    '/' || owner_id, 1, spec, labels, '{}', created, created, 'seed', 'seed', 1,
    jsonb_build_object('id', id, 'spec', spec, 'labels', labels, 'conditions', (
        SELECT jsonb_agg(jsonb_build_object(
            'type', type, 'status', 'True', 'reason', 'AllRequiredAdaptersReady', 'message',
            'Every required adapter finished this generation.', 'observed_generation', 1,
            'created_time', created, 'last_updated_time', created, 'last_transition_time', created))
        FROM unnest($2) AS type)),
    ARRAY[
        'condition:LastKnownReconciled=True', 'condition:Reconciled=' || reconciled,
        'label:env=' || (labels ->> 'env'), 'label:shard=' || (labels ->> 'shard'),
        'label:team=' || (labels ->> 'team'),
        'reference:release=' || (number % 1000)]
FROM (
    SELECT number, id, created, owner_id,
        CASE WHEN owner_id IS NULL THEN 'Cluster' ELSE 'NodePool' END AS kind,
        'name-' || number AS name,
        CASE WHEN random() < 0.01 THEN 'False' ELSE 'True' END AS reconciled,
        jsonb_build_object(
            'region', 'region-' || number % 20, 'replicas', number % 17,
            'pull_secret', repeat(md5(id), 16)) AS spec,
        jsonb_build_object(
            'env', CASE number % 2 WHEN 0 THEN 'prod' ELSE 'dev' END,
            'shard', (number % 50)::text, 'team', 'team-' || number / 5 % 500) AS labels
    FROM (
        SELECT number, '019234ab-0000-7000-8000-' || lpad(to_hex(number), 12, '0') AS id,
            CASE WHEN number % 5 = 4
                THEN '019234ab-0000-7000-8000-' || lpad(to_hex(number - 1), 12, '0')
            END AS owner_id,
            now() - make_interval(secs => $1 - number) AS created
        FROM generate_series(1, $1) AS number
    ) AS numbered
) AS resource";

const CONDITIONS: &str = "
INSERT INTO resource_conditions
SELECT id, type, 1, now() - random() * interval '30 minutes', created_time
FROM resources, unnest($1) AS type";

/// Conditions of every resource.
const TYPES: [&str; 7] = [
    "Reconciled",
    "LastKnownReconciled",
    "ValidationSuccessful",
    "DnsSuccessful",
    "PlacementSuccessful",
    "PullsecretSuccessful",
    "HypershiftSuccessful",
];

/// Writes that many resources and tells the database to look at what it has.
///
/// # Errors
/// When the database does not do it.
pub async fn seed(pool: &PgPool, resources: i32) -> Result<()> {
    sqlx::query(RESOURCES)
        .bind(resources)
        .bind(TYPES)
        .execute(pool)
        .await?;
    sqlx::query(CONDITIONS).bind(TYPES).execute(pool).await?;
    sqlx::raw_sql("VACUUM ANALYZE resources, resource_conditions")
        .execute(pool)
        .await?;
    Ok(())
}

/// The searches that clients send, as filters of a list of clusters.
///
/// # Errors
/// When the database cannot tell the time.
pub async fn searches(pool: &PgPool) -> Result<Vec<(String, Filter)>> {
    // The oldest hundredth was not updated since.
    let old: String = sqlx::query_scalar(
        r#"SELECT to_char(now() AT TIME ZONE 'UTC' - interval '29 minutes 42 seconds',
            'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#,
    )
    .fetch_one(pool)
    .await?;
    let reconciled = "status.conditions.Reconciled";
    let updated_before = format!("{reconciled}.last_updated_time < '{old}'");
    let stale = format!("({reconciled}='False' or {reconciled}='True' and {updated_before})");
    let texts = [
        "labels.team='team-7'".to_owned(),
        "labels.team='team-7' and (name like 'name-1%' or spec.replicas > 3)".to_owned(),
        "labels.non_existing_label='value'".to_owned(),
        "labels.team in ['team-7', 'team-8']".to_owned(),
        "name='name-77'".to_owned(),
        "(name='name-76' or name='name-77') and deleted_time is null".to_owned(),
        format!("{reconciled}='False'"),
        updated_before.clone(),
        format!("labels.shard='7' and {reconciled}='False'"),
        format!("labels.shard='7' and {updated_before}"),
        format!("labels.shard='7' and {stale}"),
        stale,
    ];
    let clusters = || Filter {
        kind: Some("Cluster".to_owned()),
        ..Filter::default()
    };
    let mut all = Vec::new();
    for text in texts {
        let filter = Filter {
            search: Some(search::parse(&text)?),
            ..clusters()
        };
        all.push((text, filter));
    }
    let reference = ReferenceFilter {
        ref_type: "release".to_owned(),
        target_id: "7".to_owned(),
    };
    let referring = Filter {
        reference: Some(reference),
        ..clusters()
    };
    all.push(("ref_type=release, ref_target_id=7".to_owned(), referring));
    Ok(all)
}
