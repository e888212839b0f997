-- What most links need is in the link's own row, so that a redirect is one look-up in one index.
-- What only some have costs only those: indexes are partial where they can be, and the creation
-- of a link gets its entry in the history when the link is first edited.

-- AUTOINCREMENT, because cursors hold these numbers: none is ever given twice.
CREATE TABLE links(
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    domain        TEXT NOT NULL,
    code          TEXT NOT NULL,
    url           TEXT NOT NULL,
    origin        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    version       INTEGER NOT NULL,
    clicks_used   INTEGER NOT NULL,
    starts_at     INTEGER,
    expires_at    INTEGER,
    max_clicks    INTEGER,
    redirect      INTEGER,
    password      TEXT,
    tags          TEXT,
    title         TEXT,
    forward_query INTEGER NOT NULL,
    rules         TEXT,
    -- Of domain and spec, to find equal links.
    fingerprint   INTEGER NOT NULL
) STRICT;
-- The code first: it serves look-ups and listings by code alike.
CREATE UNIQUE INDEX links_by_code ON links(code, domain);
CREATE INDEX links_by_creation ON links(created_at);
CREATE INDEX links_by_fingerprint ON links(fingerprint);
CREATE INDEX links_by_expiry ON links(expires_at) WHERE expires_at IS NOT NULL;
-- Listings of one domain. Most links live on the default one, whose listings need nothing else.
CREATE INDEX links_by_domain_and_code ON links(domain, code) WHERE domain <> '';
CREATE INDEX links_by_domain_and_creation ON links(domain, created_at) WHERE domain <> '';

CREATE TABLE tags(
    tag        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    link       INTEGER NOT NULL,
    PRIMARY KEY(tag, created_at, link)
) STRICT, WITHOUT ROWID;

-- The beginnings of what a prefix is searched in.
CREATE TABLE terms(
    term BLOB NOT NULL,
    link INTEGER NOT NULL,
    PRIMARY KEY(term, link)
) STRICT, WITHOUT ROWID;

-- Kept by name, because it outlives the link.
CREATE TABLE history(
    id      INTEGER PRIMARY KEY,
    code    TEXT NOT NULL,
    domain  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  INTEGER NOT NULL,
    version INTEGER NOT NULL,
    changes TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_link ON history(code, domain);

CREATE TABLE tokens(
    id      BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    at      INTEGER NOT NULL,
    action  INTEGER NOT NULL,
    answer  TEXT
) STRICT;
CREATE INDEX tokens_by_age ON tokens(at);

CREATE TABLE feed(
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    code   TEXT NOT NULL,
    domain TEXT NOT NULL
) STRICT;

-- One row: counting a million rows takes longer than a health check may.
CREATE TABLE totals(links INTEGER NOT NULL) STRICT;
INSERT INTO totals VALUES (0);

CREATE TABLE secrets(name TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE workers(
    worker     INTEGER PRIMARY KEY,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
-- One row: the last fence given out.
CREATE TABLE fences(last INTEGER NOT NULL) STRICT;
INSERT INTO fences VALUES (0);
CREATE TABLE pool(code TEXT PRIMARY KEY, available_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX pool_by_availability ON pool(available_at, code);
