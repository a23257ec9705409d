-- From which position to which each resource lived, and what never changes about it: which resources there
-- were at a past position is read from here, and which events belong to a kind, a name or a tenant.
-- A position is known only when the event is inserted, so the database keeps this table itself, in the
-- statement that inserts the events, whoever inserts them. It is made of the events alone: of their kinds of
-- beginning and end, and of the members of `created` that every version of that event has.
CREATE TABLE resource_lifetimes (
    resource_id      text COLLATE "C" PRIMARY KEY,
    kind             text COLLATE "C" NOT NULL,
    name             text COLLATE "C" NOT NULL,
    owner_id         text COLLATE "C",
    tenancy          jsonb NOT NULL,
    created_position bigint NOT NULL,
    -- The first position at which it is gone; NULL while it lives.
    removed_position bigint
);

CREATE FUNCTION record_resource_lifetimes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO resource_lifetimes
        (resource_id, kind, name, owner_id, tenancy, created_position)
    SELECT aggregate_id, payload ->> 'kind', payload ->> 'name', payload #>> '{owner,id}',
        coalesce(payload -> 'tenancy', '{}'), position
    FROM new_rows
    WHERE aggregate_type = 'resource' AND event_type = 'hyperfleet.resource.created'
    ON CONFLICT (resource_id) DO NOTHING;
    UPDATE resource_lifetimes AS lived SET removed_position = new_rows.position
    FROM new_rows
    WHERE new_rows.aggregate_type = 'resource'
        AND new_rows.event_type IN ('hyperfleet.resource.removed', 'hyperfleet.resource.force_removed')
        AND lived.resource_id = new_rows.aggregate_id AND lived.removed_position IS NULL;
    RETURN NULL;
END
$$;

-- Creating the trigger keeps writers out until this migration is committed.
CREATE TRIGGER record_lifetimes AFTER INSERT ON events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION record_resource_lifetimes();

INSERT INTO resource_lifetimes
SELECT created.aggregate_id, created.payload ->> 'kind', created.payload ->> 'name',
    created.payload #>> '{owner,id}', coalesce(created.payload -> 'tenancy', '{}'), created.position,
    removed.position
FROM events AS created
LEFT JOIN (
    SELECT aggregate_id, min(position) AS position FROM events
    WHERE aggregate_type = 'resource'
        AND event_type IN ('hyperfleet.resource.removed', 'hyperfleet.resource.force_removed')
    GROUP BY aggregate_id
) AS removed ON removed.aggregate_id = created.aggregate_id
WHERE created.aggregate_type = 'resource' AND created.event_type = 'hyperfleet.resource.created';

-- Lists at a past position, of a kind, of an owner and of everything; narrow, because totals are counted.
CREATE INDEX resource_lifetimes_of_kind ON resource_lifetimes (kind, created_position)
    INCLUDE (removed_position);
CREATE INDEX resource_lifetimes_of_owner ON resource_lifetimes (owner_id, kind, created_position)
    INCLUDE (removed_position) WHERE owner_id IS NOT NULL;
CREATE INDEX resource_lifetimes_in_order ON resource_lifetimes (created_position)
    INCLUDE (removed_position);

-- Whose events belong to a name or a tenant.
CREATE INDEX resource_lifetimes_of_name ON resource_lifetimes (name, kind);
CREATE INDEX resource_lifetimes_of_tenant ON resource_lifetimes USING gin (tenancy jsonb_path_ops);
