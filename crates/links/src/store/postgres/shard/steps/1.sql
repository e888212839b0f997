-- What makes a database one of several shards: one row, in a database that is one.
CREATE TABLE link_shard(
    single  boolean PRIMARY KEY DEFAULT TRUE CHECK (single),
    number  integer NOT NULL,
    -- Of the map, beside it to be compared.
    version bigint NOT NULL,
    map     text NOT NULL
);

-- Refuses a transaction that goes by another map than the one stored here. The lock is held until its
-- end, so that the map only changes when nobody is writing by the one before.
CREATE FUNCTION tollgate_shard_check() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stored bigint;
    known text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(8387799723149517824);
    SELECT version INTO stored FROM link_shard;
    known := nullif(current_setting('tollgate.shard_map', TRUE), '');
    IF stored::text IS DISTINCT FROM known THEN
        IF known IS NULL THEN
            RAISE EXCEPTION 'this database is one of several shards: links.store has to list all of them'
                USING ERRCODE = 'TG001';
        END IF;
        RAISE EXCEPTION 'the map of the shards is version %, not %', stored, known USING ERRCODE = 'TG001';
    END IF;
END $$;

CREATE FUNCTION tollgate_shard_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tollgate_shard_check();
    RETURN NULL;
END $$;

CREATE TRIGGER link_shard_fence BEFORE INSERT OR UPDATE OR DELETE ON links
    FOR EACH STATEMENT EXECUTE FUNCTION tollgate_shard_fence();

-- On the shard that is the home of all: the changes of all shards in one order.
CREATE TABLE link_journal(
    seq    bigint PRIMARY KEY,
    code   text NOT NULL,
    domain text NOT NULL
);
-- One row: the number of the last change.
CREATE TABLE link_journal_head(last bigint NOT NULL);
INSERT INTO link_journal_head VALUES (0);
-- Up to which change of each shard it goes.
CREATE TABLE link_journal_sources(shard integer PRIMARY KEY, seq bigint NOT NULL);

-- There, too: positions among the links that are made, one for each shard, under one number.
CREATE TABLE link_shard_marks(
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    positions text NOT NULL UNIQUE
);
