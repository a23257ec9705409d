-- The trace of the change that made a resource due, until a sentinel tells of it: what adapters then do
-- belongs to that trace.
ALTER TABLE reconcile_queue ADD COLUMN traceparent text;
