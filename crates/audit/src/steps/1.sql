CREATE TABLE audit_entries(
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    entry TEXT NOT NULL,
    hash BLOB
) STRICT;
CREATE TABLE audit_ends(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL,
    last_hash BLOB,
    removed INTEGER NOT NULL,
    removed_hash BLOB
) STRICT;
INSERT INTO audit_ends(one, last, removed) VALUES (1, 0, 0);
