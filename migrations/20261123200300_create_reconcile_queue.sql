-- A durable work queue with one row per live resource. The inline projection makes a row due at
-- once, and takes it from whoever holds it, when its resource changes in a way that matters.
-- All times are the database's, so replicas with different clocks agree.
CREATE TABLE reconcile_queue (
    resource_id               text COLLATE "C" PRIMARY KEY,
    kind                      text COLLATE "C" NOT NULL,
    labels                    jsonb NOT NULL,
    due_time                  timestamptz NOT NULL,
    -- Publications since the resource last made progress.
    attempt                   integer NOT NULL DEFAULT 0,
    last_published_generation integer,
    last_published_time       timestamptz,
    -- Set while a sentinel works on the row; when it passes, the row may be claimed again.
    claimed_until             timestamptz,
    claim_token               uuid
) WITH (fillfactor = 70);

CREATE INDEX reconcile_queue_due ON reconcile_queue (kind, due_time);
