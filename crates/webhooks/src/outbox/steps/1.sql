CREATE TABLE subscriptions(
    id          TEXT PRIMARY KEY,
    url         TEXT NOT NULL,
    -- Names, and numbers, joined by spaces.
    events      TEXT NOT NULL,
    thresholds  TEXT NOT NULL,
    domain      TEXT,
    description TEXT NOT NULL,
    secret      TEXT NOT NULL,
    -- The one before, with which messages are signed as well until then.
    old_secret  TEXT,
    old_until   INTEGER,
    paused      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, because cursors hold these numbers: none is ever given twice.
CREATE TABLE deliveries(
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    subscription  TEXT NOT NULL,
    key           TEXT NOT NULL,
    kind          TEXT NOT NULL,
    body          TEXT NOT NULL,
    queued_at     INTEGER NOT NULL,
    -- 0 waiting, 1 delivered, 2 dead
    state         INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    next_at       INTEGER NOT NULL,
    -- Somebody sends it until then.
    claimed_until INTEGER NOT NULL,
    last_at       INTEGER,
    last_status   INTEGER,
    last_error    TEXT,
    UNIQUE(subscription, key)
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries(subscription, next_at) WHERE state = 0;
CREATE INDEX deliveries_of ON deliveries(subscription, number);
CREATE INDEX deliveries_done ON deliveries(last_at) WHERE state <> 0;

-- Up to where events were looked for.
CREATE TABLE positions(name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Numbers of clicks that were told of.
CREATE TABLE passed(
    subscription TEXT NOT NULL,
    domain       TEXT NOT NULL,
    code         TEXT NOT NULL,
    threshold    INTEGER NOT NULL,
    PRIMARY KEY(subscription, domain, code)
) STRICT, WITHOUT ROWID;
