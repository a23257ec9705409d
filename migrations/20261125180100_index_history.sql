-- What histories are filtered by. Each index ends with the position, so that a page is read in order.
CREATE INDEX events_by_time ON events (recorded_at, position);
CREATE INDEX events_by_type ON events (event_type, position);
CREATE INDEX events_by_actor ON events ((metadata ->> 'actor'), position);
CREATE INDEX events_by_request ON events ((metadata ->> 'correlation_id'), position);

-- Labels of removed resources too, as they were last.
CREATE INDEX resources_by_labels_ever ON resources USING gin (labels jsonb_path_ops);
