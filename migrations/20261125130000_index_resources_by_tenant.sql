-- The live resources of a tenant: `tenancy @> '{"org": "a"}'`. Removed ones are found by id or name.
-- Tenancy never changes, so the index does not stand in the way of in-page updates.
CREATE INDEX resources_of_tenant ON resources USING gin (tenancy jsonb_path_ops)
    WHERE removed_time IS NULL;
