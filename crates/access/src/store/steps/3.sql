ALTER TABLE api_keys ADD COLUMN old_secret BLOB;
ALTER TABLE api_keys ADD COLUMN old_secret_until INTEGER;
CREATE UNIQUE INDEX api_keys_old_secret ON api_keys(old_secret) WHERE old_secret IS NOT NULL;
