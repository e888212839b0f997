-- How far each source is counted.
CREATE TABLE click_sources(
    id TEXT PRIMARY KEY, segment INTEGER NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What is counted apart. Numbers are never used again: raw clicks may still have one that is gone.
CREATE TABLE click_scopes(
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,
    domain TEXT NOT NULL, code TEXT NOT NULL, UNIQUE(kind, domain, code)
) STRICT;
-- The key has the scope in its highest bits, so that all of a scope lies together.
CREATE TABLE click_hours(
    key INTEGER PRIMARY KEY, q0 INTEGER NOT NULL, q1 INTEGER NOT NULL, q2 INTEGER NOT NULL,
    q3 INTEGER NOT NULL, visitors BLOB NOT NULL, counts BLOB NOT NULL
) STRICT;
CREATE TABLE click_days(
    key INTEGER PRIMARY KEY, clicks INTEGER NOT NULL, visitors BLOB NOT NULL, counts BLOB NOT NULL
) STRICT;
-- The days that have a table of raw clicks.
CREATE TABLE click_raw_days(day INTEGER PRIMARY KEY) STRICT;
-- The first day of which no raw click was dropped.
CREATE TABLE click_raw_since(one INTEGER PRIMARY KEY CHECK (one = 1), day INTEGER NOT NULL) STRICT;
INSERT INTO click_raw_since VALUES (1, 0);
