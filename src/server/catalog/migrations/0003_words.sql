-- What a client says of a file besides its name: its path in the folder that was picked, and fields. Words, as all the
-- client's words: no path on disk comes of them.

ALTER TABLE uploads ADD COLUMN path TEXT NOT NULL DEFAULT '';

-- JSON: a list of pairs of name and value, in the order in which they came.
ALTER TABLE uploads ADD COLUMN fields TEXT NOT NULL DEFAULT '[]';

DROP TRIGGER complete_does_not_change;

CREATE TRIGGER complete_does_not_change BEFORE UPDATE ON uploads
WHEN OLD.state <> 'receiving'
 AND NOT (
        NEW.state = 'deleting' AND NEW.number = OLD.number AND NEW.id = OLD.id AND NEW.owner = OLD.owner
    AND NEW.name = OLD.name AND NEW.media_type = OLD.media_type AND NEW.field = OLD.field
    AND NEW.path = OLD.path AND NEW.fields = OLD.fields
    AND NEW.size = OLD.size AND NEW.sha256 IS OLD.sha256
    AND NEW.created_ms = OLD.created_ms AND NEW.stored_ms = OLD.stored_ms)
BEGIN
    SELECT RAISE(ABORT, 'a complete upload cannot change');
END;
