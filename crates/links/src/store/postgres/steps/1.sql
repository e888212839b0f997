-- What most links need is in the link's own row, so that a redirect is one look-up in one index.
-- Codes and domains compare byte by byte, whatever the database's own order is.

CREATE TABLE links(
    id            bigint PRIMARY KEY,
    domain        text COLLATE "C" NOT NULL,
    code          text COLLATE "C" NOT NULL,
    url           text NOT NULL,
    origin        smallint NOT NULL,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    created_by    text NOT NULL,
    version       bigint NOT NULL,
    clicks_used   bigint NOT NULL,
    starts_at     bigint,
    expires_at    bigint,
    max_clicks    bigint,
    redirect      smallint,
    password      text,
    tags          text,
    title         text,
    forward_query boolean NOT NULL,
    rules         text,
    -- Of domain and spec, to find equal links.
    fingerprint   bigint NOT NULL,
    -- The beginnings of what a prefix is searched in, folded.
    code_term     bytea NOT NULL,
    url_term      bytea NOT NULL,
    title_term    bytea
);
-- Cursors hold these numbers: none is ever given twice.
CREATE SEQUENCE links_id_seq OWNED BY links.id;
-- The code first: it serves look-ups and listings by code alike.
CREATE UNIQUE INDEX links_by_code ON links(code, domain);
CREATE INDEX links_by_creation ON links(created_at, id);
CREATE INDEX links_by_fingerprint ON links(fingerprint, id);
CREATE INDEX links_by_expiry ON links(expires_at, id) WHERE expires_at IS NOT NULL;
-- Listings of one domain. Most links live on the default one, whose listings need nothing else.
CREATE INDEX links_by_domain_and_code ON links(domain, code) WHERE domain <> '';
CREATE INDEX links_by_domain_and_creation ON links(domain, created_at, id) WHERE domain <> '';
CREATE INDEX links_by_code_term ON links(code_term);
CREATE INDEX links_by_url_term ON links(url_term);
CREATE INDEX links_by_title_term ON links(title_term) WHERE title_term IS NOT NULL;

CREATE TABLE link_tags(
    tag        text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    link       bigint NOT NULL,
    PRIMARY KEY (tag, created_at, link)
);

-- Kept by name, because it outlives the link.
CREATE TABLE link_history(
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code    text COLLATE "C" NOT NULL,
    domain  text COLLATE "C" NOT NULL,
    at      bigint NOT NULL,
    actor   text NOT NULL,
    action  smallint NOT NULL,
    version bigint NOT NULL,
    changes text NOT NULL
);
CREATE INDEX link_history_by_link ON link_history(code, domain, id);

CREATE TABLE link_tokens(
    id      bytea PRIMARY KEY,
    request bytea NOT NULL,
    at      bigint NOT NULL,
    action  smallint NOT NULL,
    answer  text
);
CREATE INDEX link_tokens_by_age ON link_tokens(at, id);

CREATE TABLE link_feed(
    seq    bigint PRIMARY KEY,
    code   text NOT NULL,
    domain text NOT NULL
);
-- One row: the number of the last change. Who changes it holds it until the commit, so that numbers
-- become visible in their order, without gaps.
CREATE TABLE link_feed_head(last bigint NOT NULL);
INSERT INTO link_feed_head VALUES (0);

CREATE TABLE link_secrets(name text PRIMARY KEY, secret bytea NOT NULL);
-- As wide as an unsigned number of 64 bits.
CREATE TABLE link_counters(name text PRIMARY KEY, next numeric(20) NOT NULL);
CREATE TABLE link_workers(
    worker     integer PRIMARY KEY,
    fence      bigint NOT NULL,
    expires_at bigint NOT NULL
);
-- One row: the last fence given out.
CREATE TABLE link_fences(last bigint NOT NULL);
INSERT INTO link_fences VALUES (0);
CREATE TABLE link_pool(code text COLLATE "C" PRIMARY KEY, available_at bigint NOT NULL);
CREATE INDEX link_pool_by_availability ON link_pool(available_at, code);
