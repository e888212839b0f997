ALTER TABLE api_keys ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX api_keys_subject ON api_keys(subject) WHERE subject IS NOT NULL;
