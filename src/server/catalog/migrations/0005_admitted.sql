-- What an upload in pieces may bring as was allowed when it began, in bytes, in all and in one request; the largest
-- number there is for as much as it likes, 0 where it is not known any more.

ALTER TABLE resumables ADD COLUMN max_length INTEGER NOT NULL DEFAULT 0 CHECK (max_length >= 0);
ALTER TABLE resumables ADD COLUMN max_request INTEGER NOT NULL DEFAULT 0 CHECK (max_request >= 0);

-- The ids of the parts that it was made of, in their order with a space between, however the client wrote their addresses.
ALTER TABLE resumables ADD COLUMN joined_of TEXT;

UPDATE resumables SET joined_of = replace(substr(concat, length('final;') + 1), '/files/', '')
WHERE is_part = 0 AND concat LIKE 'final;/files/%' AND concat NOT LIKE '%://%';

DROP INDEX resumables_joined;
CREATE INDEX resumables_joined ON resumables (joined_of) WHERE joined_of IS NOT NULL;
