-- The dimensions of a tenancy as text, the same for the same tenant; empty without any.
CREATE FUNCTION tenant_of(tenancy jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN tenancy = '{}' THEN '' ELSE coalesce((
        SELECT string_agg(key || '=' || value, ',' ORDER BY key COLLATE "C") FROM jsonb_each_text(tenancy)
    ), '') END
$$;

-- Whose resource it is, for taking turns among tenants. Rows that a version of before inserts have none; they
-- take turns as one tenant until they change.
ALTER TABLE reconcile_queue ADD COLUMN tenant text COLLATE "C" NOT NULL DEFAULT '';

UPDATE reconcile_queue AS queue SET tenant = tenant_of(resources.tenancy)
FROM resources WHERE resources.id = queue.resource_id AND resources.tenancy <> '{}';

-- The tenants of a kind and priority, one after the other, and the longest waiting of each.
CREATE INDEX reconcile_queue_due_by_tenant ON reconcile_queue (kind, priority, tenant, due_time);

-- The sentinels that run, so that it is known which resources none of them selects.
CREATE TABLE sentinels (
    id          uuid PRIMARY KEY,
    name        text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    labels      jsonb NOT NULL,
    shard       integer NOT NULL,
    shard_count integer NOT NULL,
    seen_time   timestamptz NOT NULL
);

-- What sentinels of one name may still publish, together.
CREATE TABLE sentinel_rates (
    name        text COLLATE "C" PRIMARY KEY,
    tokens      double precision NOT NULL,
    filled_time timestamptz NOT NULL
);
