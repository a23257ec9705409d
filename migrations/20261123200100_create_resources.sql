-- The resource view: one row per resource that ever existed, written in the transaction that
-- appends its events. It is also the aggregate snapshot (state, as of version). A removed resource
-- keeps its row, so that its history can be found by name.
CREATE TABLE resources (
    id           text COLLATE "C" PRIMARY KEY,
    kind         text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    href         text COLLATE "C" NOT NULL,
    owner_id     text COLLATE "C",
    owner_kind   text COLLATE "C",
    owner_href   text COLLATE "C",
    generation   integer NOT NULL,
    spec         jsonb NOT NULL,
    labels       jsonb NOT NULL,
    tenancy      jsonb NOT NULL,
    created_time timestamptz NOT NULL,
    updated_time timestamptz NOT NULL,
    deleted_time timestamptz,
    removed_time timestamptz,
    created_by   text COLLATE "C" NOT NULL,
    updated_by   text COLLATE "C" NOT NULL,
    deleted_by   text COLLATE "C",
    -- Sequence of the last event in state.
    version      bigint NOT NULL,
    state        jsonb NOT NULL
);

-- Lists of one kind in the default order.
CREATE INDEX resources_of_kind ON resources (kind, created_time DESC, id DESC)
    WHERE removed_time IS NULL;

-- Look-up by name, removed resources included.
CREATE INDEX resources_by_name ON resources (kind, name, created_time DESC);

-- Nested lists in the default order, and the children of a resource.
CREATE INDEX resources_of_owner ON resources (owner_id, kind, created_time DESC, id DESC)
    WHERE removed_time IS NULL AND owner_id IS NOT NULL;
