-- The audit tells of every request that changed nothing, not of refusals alone.
ALTER TABLE audit_refusals RENAME TO audit_requests;
ALTER INDEX audit_refusals_by_time RENAME TO audit_requests_by_time;
ALTER INDEX audit_refusals_by_actor RENAME TO audit_requests_by_actor;
ALTER INDEX audit_refusals_by_request RENAME TO audit_requests_by_request;
ALTER INDEX audit_refusals_by_resource RENAME TO audit_requests_by_resource;
ALTER INDEX audit_refusals_by_class RENAME TO audit_requests_by_class;
-- refused, unchanged or replayed.
ALTER TABLE audit_requests ADD COLUMN outcome text COLLATE "C" NOT NULL DEFAULT 'refused';
-- Processes of the version before go on writing and removing refusals through this while they are replaced.
CREATE VIEW audit_refusals AS SELECT * FROM audit_requests;
