-- What the inline projection would have written for the resources that there are.
UPDATE resources SET search_keys = ARRAY(
    SELECT key FROM (
        SELECT 'label:' || label.key || '=' || label.value AS key
        FROM jsonb_each_text(labels) AS label
        UNION ALL
        SELECT 'condition:' || (condition ->> 'type') || '=' || (condition ->> 'status')
        FROM jsonb_array_elements(state -> 'conditions') AS condition
        UNION ALL
        SELECT 'reference:' || reference.key || '=' || (target ->> 'id')
        FROM jsonb_each(state -> 'references') AS reference,
            jsonb_array_elements(reference.value) AS target
    ) AS keys
    ORDER BY key COLLATE "C"
) WHERE removed_time IS NULL;

INSERT INTO resource_conditions
SELECT id, condition ->> 'type', (condition ->> 'observed_generation')::integer,
    (condition ->> 'last_updated_time')::timestamptz,
    (condition ->> 'last_transition_time')::timestamptz
FROM resources, jsonb_array_elements(state -> 'conditions') AS condition
WHERE removed_time IS NULL;
