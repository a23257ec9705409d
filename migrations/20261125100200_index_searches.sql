-- One index for labels, conditions and references, alone and combined. Its list of pending entries
-- makes writes cheap; it is kept short, because every search reads it and one writer in a while has
-- to empty it.
CREATE INDEX resources_search ON resources USING gin (search_keys)
    WITH (fastupdate = on, gin_pending_list_limit = 256)
    WHERE removed_time IS NULL;

-- Conditions that were not updated since some time.
CREATE INDEX resource_conditions_by_update ON resource_conditions (type, last_updated_time);

-- By name, within one kind and over all kinds, removed resources included. Replaces the one that
-- began with the kind.
CREATE INDEX resources_of_name ON resources (name, kind, created_time DESC);
DROP INDEX resources_by_name;

-- Lists over all kinds in the default order.
CREATE INDEX resources_in_order ON resources (created_time DESC, id DESC)
    WHERE removed_time IS NULL;
