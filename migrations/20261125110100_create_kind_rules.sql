-- By which rules (required adapters, condition rules) the resources of each kind were last evaluated. When
-- the configuration says otherwise, they are evaluated again, in the order of their ids, by whoever holds
-- the claim; progress survives its holder.
CREATE TABLE kind_rules (
    kind          text COLLATE "C" PRIMARY KEY,
    -- Applied to every resource; NULL before the first time.
    rules         text,
    -- Being applied, up to and including this id.
    pending_rules text,
    progress      text COLLATE "C",
    claimed_until timestamptz,
    claim_token   uuid
);
