-- The log in partitions by position, so that old parts of it can be put aside. The table that there is becomes
-- the first partition; its rows stay where they are. Writers and readers wait while its bounds are checked, which
-- takes some seconds for each ten million events.
--
-- live_events      what is written to, and what followers of the log read
-- archive.events   the partitions that were put aside
-- events           both, for everything that looks into the past
--
-- The newest partition has no upper bound, so that an append always finds its place.

ALTER TABLE events RENAME TO events_from_0;
ALTER INDEX events_pkey RENAME TO events_from_0_pkey;
ALTER INDEX events_position RENAME TO events_from_0_position;
ALTER INDEX events_by_time RENAME TO events_from_0_by_time;
ALTER INDEX events_by_type RENAME TO events_from_0_by_type;
ALTER INDEX events_by_actor RENAME TO events_from_0_by_actor;
ALTER INDEX events_by_request RENAME TO events_from_0_by_request;
DROP TRIGGER record_lifetimes ON events_from_0;

CREATE TABLE live_events (LIKE events_from_0 INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (position);
ALTER TABLE live_events ATTACH PARTITION events_from_0 FOR VALUES FROM (0) TO (MAXVALUE);

-- An index that is there already on a partition becomes part of these. That the sequences of a stream are
-- unique is the business of each partition's primary key, and across partitions of the stream heads.
CREATE UNIQUE INDEX events_position ON live_events (position);
CREATE INDEX events_by_time ON live_events (recorded_at, position);
CREATE INDEX events_by_type ON live_events (event_type, position);
CREATE INDEX events_by_actor ON live_events ((metadata ->> 'actor'), position);
CREATE INDEX events_by_request ON live_events ((metadata ->> 'correlation_id'), position);

CREATE TRIGGER record_lifetimes AFTER INSERT ON live_events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION record_resource_lifetimes();

CREATE SCHEMA archive;
CREATE TABLE archive.events (LIKE live_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (position);
CREATE UNIQUE INDEX events_position ON archive.events (position);
CREATE INDEX events_by_time ON archive.events (recorded_at, position);
CREATE INDEX events_by_type ON archive.events (event_type, position);
CREATE INDEX events_by_actor ON archive.events ((metadata ->> 'actor'), position);
CREATE INDEX events_by_request ON archive.events ((metadata ->> 'correlation_id'), position);

CREATE VIEW events AS
    SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position,
        recorded_at, hash
    FROM archive.events
    UNION ALL
    SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position,
        recorded_at, hash
    FROM live_events;

-- Processes of the version before go on appending through the view while they are replaced.
CREATE FUNCTION append_to_live_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO live_events SELECT NEW.*;
    RETURN NEW;
END
$$;
CREATE TRIGGER append_to_live_events INSTEAD OF INSERT ON events
    FOR EACH ROW EXECUTE FUNCTION append_to_live_events();
