-- How many live resources there are of each kind, so that the total of a list of a whole kind needs no
-- counting. Kept by the database itself in the transaction that changes a resource, whoever changes it:
-- within one snapshot the count equals the rows. A kind's count is the sum over its shards; writers with
-- different connections seldom meet on one, and so do not wait for each other.
CREATE TABLE resource_counts (
    kind  text   COLLATE "C" NOT NULL,
    shard integer            NOT NULL,
    live  bigint             NOT NULL,
    PRIMARY KEY (kind, shard)
) WITH (fillfactor = 50);

CREATE FUNCTION add_to_resource_counts(changed_kind text, change bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO resource_counts AS counted VALUES (changed_kind, pg_backend_pid() % 16, change)
    ON CONFLICT (kind, shard) DO UPDATE SET live = counted.live + excluded.live
$$;

-- The shards of a statement are locked in the order of kinds.
CREATE FUNCTION count_resources() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_to_resource_counts(kind, count) FROM (
            SELECT kind, count(*) FROM new_rows WHERE removed_time IS NULL GROUP BY kind ORDER BY kind
        ) AS changes;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM add_to_resource_counts(kind, -count) FROM (
            SELECT kind, count(*) FROM old_rows WHERE removed_time IS NULL GROUP BY kind ORDER BY kind
        ) AS changes;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM add_to_resource_counts(kind, change) FROM (
            SELECT kind, sum(change)::bigint AS change FROM (
                SELECT kind, -1 AS change FROM old_rows WHERE removed_time IS NULL
                UNION ALL
                SELECT kind, 1 FROM new_rows WHERE removed_time IS NULL
            ) AS moved
            GROUP BY kind HAVING sum(change) <> 0 ORDER BY kind
        ) AS changes;
    ELSE
        DELETE FROM resource_counts;
    END IF;
    RETURN NULL;
END
$$;

-- Creating the first trigger keeps writers out until this migration is committed.
CREATE TRIGGER count_inserted AFTER INSERT ON resources
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_resources();
CREATE TRIGGER count_updated AFTER UPDATE ON resources
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_resources();
CREATE TRIGGER count_deleted AFTER DELETE ON resources
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_resources();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON resources
    FOR EACH STATEMENT EXECUTE FUNCTION count_resources();

INSERT INTO resource_counts
SELECT kind, 0, count(*) FROM resources WHERE removed_time IS NULL GROUP BY kind;
