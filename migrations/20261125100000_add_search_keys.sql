-- What searches for equality look up: 'label:<key>=<value>', 'condition:<type>=<status>' and
-- 'reference:<type>=<target id>', sorted; empty for a removed resource.
ALTER TABLE resources ADD COLUMN search_keys text[] COLLATE "C" NOT NULL DEFAULT '{}';

-- What searches compare of conditions by order. Narrow and apart, because the times move with every
-- report; the indexes of resources are not touched then.
CREATE TABLE resource_conditions (
    resource_id          text COLLATE "C" NOT NULL,
    type                 text COLLATE "C" NOT NULL,
    observed_generation  integer NOT NULL,
    last_updated_time    timestamptz NOT NULL,
    last_transition_time timestamptz NOT NULL,
    PRIMARY KEY (resource_id, type)
);
