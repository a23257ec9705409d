-- What a transaction leaves behind, under a key of its caller's choice, for a caller that did not
-- get the answer. Written in the transaction itself; gone some time after expires_at.
CREATE TABLE receipts (
    key         text        COLLATE "C" PRIMARY KEY,
    value       jsonb       NOT NULL,
    recorded_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);

-- For removing the expired ones, oldest first.
CREATE INDEX receipts_by_expiry ON receipts (expires_at);
