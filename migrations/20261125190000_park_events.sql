-- Whoever pauses a projection sets paused_at; runner is who applied the last batch.
ALTER TABLE checkpoints ADD COLUMN paused_at timestamptz, ADD COLUMN runner text;

-- Events that a catch-up projection passed by: those that it could not apply, and behind each, in order,
-- the later ones of its stream. All of them are at or before the projection's checkpoint.
CREATE TABLE parked_events (
    projection     text   COLLATE "C" NOT NULL,
    position       bigint NOT NULL,
    aggregate_type text   COLLATE "C" NOT NULL,
    aggregate_id   text   COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    -- Why it failed the last time; NULL for one that waits behind another.
    error          text,
    attempts       integer NOT NULL,
    parked_at      timestamptz NOT NULL,
    tried_at       timestamptz,
    -- Given up by an operator. It stays as a record and holds nothing up.
    skipped_at     timestamptz,
    PRIMARY KEY (projection, position)
);

-- The events that hold up a stream, in order.
CREATE INDEX parked_events_of_stream
    ON parked_events (projection, aggregate_type, aggregate_id, position) WHERE skipped_at IS NULL;
