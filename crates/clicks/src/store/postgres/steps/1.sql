-- Every lane has rows of its own, which only the transaction that holds the lane changes.

-- How far each source is counted.
CREATE TABLE click_sources(
    id      text COLLATE "C" PRIMARY KEY,
    segment bigint NOT NULL,
    at      bigint NOT NULL
);

-- What is counted apart: everything (kind 0), a domain (1), a link (2), orphans (3). Numbers are never
-- used again: roll-ups that were written meanwhile may still have one that is gone.
CREATE TABLE click_scopes(
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind   smallint NOT NULL,
    domain text COLLATE "C" NOT NULL,
    code   text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX click_scopes_by_name ON click_scopes(code, domain, kind);
-- The numbers of links that were forgotten, until nothing can be written of them any more.
CREATE TABLE click_forgotten(scope bigint PRIMARY KEY, at bigint NOT NULL);

-- Hours and days are counted since 1970 in UTC.
CREATE TABLE click_hours(
    scope    bigint NOT NULL,
    bot      boolean NOT NULL,
    hour     integer NOT NULL,
    lane     smallint NOT NULL,
    q0       bigint NOT NULL,
    q1       bigint NOT NULL,
    q2       bigint NOT NULL,
    q3       bigint NOT NULL,
    visitors bytea NOT NULL,
    counts   bytea NOT NULL,
    PRIMARY KEY (scope, bot, hour, lane)
);
CREATE TABLE click_days(
    scope    bigint NOT NULL,
    bot      boolean NOT NULL,
    day      integer NOT NULL,
    lane     smallint NOT NULL,
    clicks   bigint NOT NULL,
    visitors bytea NOT NULL,
    counts   bytea NOT NULL,
    PRIMARY KEY (scope, bot, day, lane)
);

-- The days that have a partition of raw clicks. Who adds clicks to one holds its row.
CREATE TABLE click_raw_days(day integer PRIMARY KEY);
-- One row: the first day of which no raw click was dropped.
CREATE TABLE click_raw_since(day integer NOT NULL);
INSERT INTO click_raw_since VALUES (0);
CREATE SEQUENCE click_raw_numbers;
-- Of an orphan, `orphan` is domain and code, and there is no link.
CREATE TABLE click_raw(
    number          bigint NOT NULL DEFAULT nextval('click_raw_numbers'),
    link            bigint,
    domain          bigint,
    orphan          text,
    at              bigint NOT NULL,
    process         bigint NOT NULL,
    event           bigint NOT NULL,
    bot             boolean NOT NULL,
    adjusted        boolean NOT NULL,
    visitor         bigint,
    network         text,
    referrer_url    text,
    user_agent      text,
    accept_language text,
    referrer        text,
    channel         text,
    country         text,
    city            text,
    browser         text,
    os              text,
    device          text,
    language        text,
    utm_source      text,
    utm_medium      text,
    utm_campaign    text,
    utm_term        text,
    utm_content     text,
    PRIMARY KEY (number, at)
) PARTITION BY RANGE (at);
CREATE INDEX click_raw_by_link ON click_raw(link, number) WHERE link IS NOT NULL;
CREATE INDEX click_raw_by_domain ON click_raw(domain, number) WHERE domain IS NOT NULL;
