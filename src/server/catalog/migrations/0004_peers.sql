-- What keeps requests from adding up. Where unfinished uploads come from: what anybody may begin, anybody may begin too often. Emptied with their end.

ALTER TABLE resumables ADD COLUMN peer TEXT;

CREATE INDEX resumables_of_peer ON resumables (peer, open_to_all) WHERE state IN ('open', 'sealed');

-- What was made of which parts, should the same be asked for again.
CREATE INDEX resumables_joined ON resumables (concat) WHERE is_part = 0 AND concat IS NOT NULL;

CREATE TRIGGER peers_are_forgotten AFTER UPDATE OF state ON resumables
WHEN NEW.state NOT IN ('open', 'sealed') AND NEW.peer IS NOT NULL
BEGIN
    UPDATE resumables SET peer = NULL WHERE id = NEW.id;
END;
