-- Where unfinished uploads come from: what anybody may begin, anybody may begin too often. Emptied with their end.

ALTER TABLE resumables ADD COLUMN peer TEXT;

CREATE INDEX resumables_of_peer ON resumables (peer, open_to_all) WHERE state IN ('open', 'sealed');

CREATE TRIGGER peers_are_forgotten AFTER UPDATE OF state ON resumables
WHEN NEW.state NOT IN ('open', 'sealed') AND NEW.peer IS NOT NULL
BEGIN
    UPDATE resumables SET peer = NULL WHERE id = NEW.id;
END;
