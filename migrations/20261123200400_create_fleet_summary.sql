-- Counts over the fleet, kept by a catch-up projection.
-- measure is 'lifecycle' (value active or finalizing) or a condition type (value True or False).
CREATE TABLE fleet_summary (
    kind    text COLLATE "C" NOT NULL,
    measure text COLLATE "C" NOT NULL,
    value   text COLLATE "C" NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (kind, measure, value)
);

-- What each live resource contributes to the counts, so that a change can take it back.
CREATE TABLE fleet_summary_members (
    resource_id text COLLATE "C" PRIMARY KEY,
    kind        text COLLATE "C" NOT NULL,
    measures    jsonb NOT NULL
);
