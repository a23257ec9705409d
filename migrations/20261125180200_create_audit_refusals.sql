-- Refused requests to change something: who, from where, what, and why not. Not part of the log, since
-- nothing happened. Rows are inserted and, when they are too old or too many, deleted; never changed.
CREATE TABLE audit_refusals (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- When it was refused, by the database's clock.
    recorded_at    timestamptz NOT NULL,
    -- Whether nobody proved to be its sender. Counted apart, so that strangers cannot push out the rest.
    is_anonymous   boolean NOT NULL,
    actor          text COLLATE "C" NOT NULL,
    source_address text COLLATE "C",
    tenancy        jsonb NOT NULL,
    method         text COLLATE "C" NOT NULL,
    -- The template of the route; NULL when there is none.
    route          text COLLATE "C",
    path           text COLLATE "C" NOT NULL,
    resource_id    text COLLATE "C",
    status         integer NOT NULL,
    -- NULL for answers that are no problem documents.
    code           text COLLATE "C",
    detail         text NOT NULL,
    request_id     text COLLATE "C" NOT NULL,
    trace_id       text COLLATE "C",
    -- How many refusals before this one were only counted, because there were too many.
    suppressed     bigint NOT NULL DEFAULT 0
);

-- Each ends with the id, so that a page is read in order.
CREATE INDEX audit_refusals_by_time ON audit_refusals (recorded_at, id);
CREATE INDEX audit_refusals_by_actor ON audit_refusals (actor, id);
CREATE INDEX audit_refusals_by_request ON audit_refusals (request_id, id);
CREATE INDEX audit_refusals_by_resource ON audit_refusals (resource_id, id)
    WHERE resource_id IS NOT NULL;
-- For keeping no more than so many of each class.
CREATE INDEX audit_refusals_by_class ON audit_refusals (is_anonymous, id);
