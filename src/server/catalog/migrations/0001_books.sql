-- What the server knows of stored files, and how uploads ended. Knows no path on disk: bytes are found by id.

CREATE TABLE uploads (
    -- The order of begin; tells files of one form apart, whose times are equal.
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    owner       TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('receiving', 'complete', 'deleting')),
    -- The client's words.
    name        TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    field       TEXT    NOT NULL,
    -- Known once complete.
    size        INTEGER CHECK (size >= 0),
    sha256      TEXT,
    created_ms  INTEGER NOT NULL,
    stored_ms   INTEGER,
    CHECK ((state = 'receiving') = (size IS NULL)),
    CHECK ((state = 'receiving') = (stored_ms IS NULL))
) STRICT;

CREATE INDEX uploads_of_owner ON uploads (owner, stored_ms DESC, number DESC) WHERE state = 'complete';
CREATE INDEX uploads_unfinished ON uploads (state) WHERE state <> 'complete';

-- A finished file is finished (promise 11), whatever a statement says: it can only be marked for deletion, and only
-- what is so marked, or was never complete, can go.
CREATE TRIGGER complete_stays BEFORE DELETE ON uploads WHEN OLD.state = 'complete'
BEGIN
    SELECT RAISE(ABORT, 'a complete upload cannot be forgotten');
END;

CREATE TRIGGER complete_does_not_change BEFORE UPDATE ON uploads
WHEN OLD.state <> 'receiving'
 AND NOT (
        NEW.state = 'deleting' AND NEW.number = OLD.number AND NEW.id = OLD.id AND NEW.owner = OLD.owner
    AND NEW.name = OLD.name AND NEW.media_type = OLD.media_type AND NEW.field = OLD.field
    AND NEW.size = OLD.size AND NEW.sha256 IS OLD.sha256
    AND NEW.created_ms = OLD.created_ms AND NEW.stored_ms = OLD.stored_ms)
BEGIN
    SELECT RAISE(ABORT, 'a complete upload cannot change');
END;

-- How uploads with a progress id ended, for pollers that come after the memory has forgotten.
CREATE TABLE outcomes (
    -- The owner, or empty: whoever knows the id.
    scope       TEXT    NOT NULL,
    progress_id TEXT    NOT NULL,
    -- Of two ends of one id the greater is the newer.
    seq         INTEGER NOT NULL,
    -- The frame, JSON as on the wire.
    frame       TEXT    NOT NULL,
    ended_ms    INTEGER NOT NULL,
    PRIMARY KEY (scope, progress_id)
) STRICT;

CREATE INDEX outcomes_by_age ON outcomes (ended_ms);
