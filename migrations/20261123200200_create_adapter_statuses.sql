-- What each adapter last reported about each live resource; written with the resource view.
CREATE TABLE adapter_statuses (
    resource_id         text COLLATE "C" NOT NULL,
    adapter             text COLLATE "C" NOT NULL,
    observed_generation integer NOT NULL,
    created_time        timestamptz NOT NULL,
    last_report_time    timestamptz NOT NULL,
    -- The status exactly as the API shows it.
    status              jsonb NOT NULL,
    PRIMARY KEY (resource_id, adapter)
);
