-- Which of the due resources goes first: 0 a new generation, a creation or a deletion; 1 another change;
-- 2 a retry; 3 a refresh. Rows of before are taken for urgent once; their next completion corrects that.
ALTER TABLE reconcile_queue ADD COLUMN priority smallint NOT NULL DEFAULT 0;

-- One range of the index per priority, so that neither claiming nor measuring reads what is not due.
CREATE INDEX reconcile_queue_due_by_priority ON reconcile_queue (kind, priority, due_time);
DROP INDEX reconcile_queue_due;
