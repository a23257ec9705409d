-- Since when a live resource is not reconciled, for the gauges of pending resources: they are counted from
-- an index that holds the pending ones only. RFC 3339 text, because reading it as an instant depends on
-- settings, which a stored column may not; texts of one zone compare as their instants do.
ALTER TABLE resources ADD COLUMN unreconciled_since text COLLATE "C" GENERATED ALWAYS AS (
    CASE WHEN removed_time IS NULL THEN
        jsonb_path_query_first(
            state,
            '$.conditions[*] ? (@.type == "Reconciled" && @.status == "False").last_transition_time'
        ) #>> '{}'
    END
) STORED;

CREATE INDEX resources_pending ON resources (kind, deleted_time, unreconciled_since)
    WHERE unreconciled_since IS NOT NULL;
