-- Uploads that are received in pieces, over many requests and restarts. Beside the row in `uploads`, and longer: what
-- is left of one that failed, expired or was cancelled tells later requests so. Knows no path on disk.

CREATE TABLE resumables (
    id              TEXT    NOT NULL PRIMARY KEY,
    owner           TEXT    NOT NULL,
    -- 1: whoever knows the id may go on with it. 0: its owner alone.
    open_to_all     INTEGER NOT NULL CHECK (open_to_all IN (0, 1)),
    -- open: bytes may come. sealed: the last byte is durable, and it was said to be the last.
    state           TEXT    NOT NULL
                    CHECK (state IN ('open', 'sealed', 'complete', 'failed', 'expired', 'cancelled')),
    protocol        TEXT    NOT NULL,
    -- The client's words, as they came.
    metadata        TEXT,
    concat          TEXT,
    -- 1: a part for others to be made of, never a file by itself.
    is_part         INTEGER NOT NULL CHECK (is_part IN (0, 1)),
    progress_id     TEXT    NOT NULL,
    want_sha256     INTEGER NOT NULL CHECK (want_sha256 IN (0, 1)),
    -- 64 lowercase hexadecimal digits.
    expected_sha256 TEXT,
    length          INTEGER CHECK (length >= 0),
    -- Bytes on the medium: what every protocol answer says.
    durable         INTEGER NOT NULL CHECK (durable >= 0),
    -- The last checkpoint that brought bytes: from here to `durable`, and the CRC-32C of that range.
    checked_from    INTEGER NOT NULL CHECK (checked_from >= 0),
    crc32c          INTEGER NOT NULL,
    -- Where the last request began that brought bytes.
    appended_from   INTEGER NOT NULL CHECK (appended_from >= 0),
    -- Counts the writers; what an earlier one says has no effect.
    epoch           INTEGER NOT NULL,
    touched_ms      INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,
    -- Why it failed, JSON as on the wire.
    error           TEXT,
    CHECK (checked_from <= durable),
    CHECK (appended_from <= durable),
    CHECK (length IS NULL OR durable <= length),
    CHECK (state NOT IN ('sealed', 'complete') OR durable = length)
) STRICT;

CREATE INDEX resumables_under_way ON resumables (expires_ms) WHERE state IN ('open', 'sealed');
CREATE INDEX resumables_of_owner ON resumables (owner) WHERE state IN ('open', 'sealed');
CREATE INDEX resumables_by_progress ON resumables (progress_id) WHERE state IN ('open', 'sealed');
CREATE INDEX resumables_over ON resumables (touched_ms) WHERE state IN ('failed', 'expired', 'cancelled');

-- An offset once told never goes back (promise 2), whatever a statement says.
CREATE TRIGGER durable_never_goes_back BEFORE UPDATE ON resumables
WHEN NEW.durable < OLD.durable OR NEW.epoch < OLD.epoch
BEGIN
    SELECT RAISE(ABORT, 'an offset cannot go back');
END;

-- Each state leads on to certain others only, and to none from an end.
CREATE TRIGGER states_go_forward BEFORE UPDATE ON resumables
WHEN NEW.state <> OLD.state AND NOT (
        OLD.state = 'open' AND NEW.state IN ('sealed', 'failed', 'expired', 'cancelled')
     OR OLD.state = 'sealed' AND NEW.state IN ('complete', 'failed')
     OR OLD.state = 'complete' AND NEW.state = 'cancelled')
BEGIN
    SELECT RAISE(ABORT, 'an upload cannot go back to an earlier state');
END;

-- A finished file is finished (promise 11): what is known of how it came stays as long as the file does.
CREATE TRIGGER complete_stays_in_pieces BEFORE UPDATE ON resumables
WHEN OLD.state = 'complete'
 AND (NEW.state <> 'complete' OR NEW.durable <> OLD.durable)
 AND EXISTS (SELECT 1 FROM uploads WHERE uploads.id = OLD.id AND uploads.state = 'complete')
BEGIN
    SELECT RAISE(ABORT, 'a complete upload cannot change');
END;

CREATE TRIGGER complete_is_remembered BEFORE DELETE ON resumables
WHEN EXISTS (SELECT 1 FROM uploads WHERE uploads.id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'an upload that is there cannot be forgotten');
END;

-- A truncated upload is never complete.
CREATE TRIGGER only_whole_is_complete BEFORE UPDATE ON uploads
WHEN NEW.state = 'complete' AND OLD.state = 'receiving'
 AND EXISTS (SELECT 1 FROM resumables
              WHERE resumables.id = NEW.id AND (resumables.state <> 'sealed' OR resumables.length <> NEW.size))
BEGIN
    SELECT RAISE(ABORT, 'an upload that is not whole cannot be complete');
END;

-- Finish events that nobody has confirmed yet. Written with the change that they tell of.
CREATE TABLE outbox (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id      TEXT    NOT NULL UNIQUE,
    -- JSON, as it is delivered.
    event         TEXT    NOT NULL,
    tries         INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_due ON outbox (not_before_ms, number);
