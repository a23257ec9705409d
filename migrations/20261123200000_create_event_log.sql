-- The event log and what the event store needs beside it. Nothing but the event store writes here.
-- Keys compare by bytes: quick, and no update of the system's locales can make an index wrong.

CREATE SEQUENCE event_position;

-- The columns down to metadata are those of postgres-es, which can therefore read this table.
CREATE TABLE events (
    aggregate_type text        COLLATE "C" NOT NULL,
    aggregate_id   text        COLLATE "C" NOT NULL,
    sequence       bigint      NOT NULL CHECK (sequence >= 1),
    event_type     text        NOT NULL,
    event_version  text        NOT NULL,
    payload        jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    -- Global order; assigned under the position lock, so it is the order of commits.
    position       bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    -- SHA-256 over the previous event's hash and this event's content.
    hash           bytea       NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE UNIQUE INDEX events_position ON events (position);

-- The head of each stream: optimistic concurrency compares and moves this row.
CREATE TABLE streams (
    aggregate_type text   COLLATE "C" NOT NULL,
    aggregate_id   text   COLLATE "C" NOT NULL,
    version        bigint NOT NULL CHECK (version >= 1),
    hash           bytea  NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
) WITH (fillfactor = 70);

-- Unique keys that streams hold, such as names in a scope.
CREATE TABLE claims (
    key            text COLLATE "C" PRIMARY KEY,
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id   text COLLATE "C" NOT NULL
);

-- Up to where each catch-up projection has applied the log.
CREATE TABLE checkpoints (
    name       text        COLLATE "C" PRIMARY KEY,
    position   bigint      NOT NULL,
    updated_at timestamptz NOT NULL
);
