-- What only the very same request, sent again, has in common with the one that ended so: 16 bytes.

ALTER TABLE outcomes ADD COLUMN fingerprint BLOB CHECK (length(fingerprint) = 16);
