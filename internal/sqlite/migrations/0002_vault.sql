-- The vault: ciphertexts, and the rows that steer their use. Package vault alone
-- knows what they mean; body is JSON under mac, and rev counts a row's writes.

-- One row: the root key's generation and what it wraps. rev counts the changes of
-- root, seals and project keys together, the ring.
CREATE TABLE vault_root (
	vault      TEXT   NOT NULL,
	generation INTEGER NOT NULL CHECK (generation > 0),
	rev        INTEGER NOT NULL CHECK (rev > 0),
	derive     BLOB   NOT NULL,
	created_at INTEGER NOT NULL,
	mac        BLOB   NOT NULL,
	PRIMARY KEY (vault)
) STRICT;

CREATE TABLE vault_seal (
	id         TEXT   NOT NULL,
	kind       TEXT   NOT NULL,
	key_id     TEXT   NOT NULL,
	params     BLOB   NOT NULL,
	box        BLOB   NOT NULL, -- the seal's secret, under the seal
	public     BLOB   NOT NULL,
	tag        BLOB   NOT NULL,
	root       BLOB   NOT NULL, -- the root key, to the public key
	created_at INTEGER NOT NULL,
	mac        BLOB   NOT NULL,
	PRIMARY KEY (id)
) STRICT;

CREATE TABLE vault_project (
	tenant     TEXT   NOT NULL,
	project    TEXT   NOT NULL,
	term       INTEGER NOT NULL CHECK (term > 0),
	wrapped    BLOB   NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (tenant, project, term)
) STRICT;

CREATE TABLE vault_register (
	tenant TEXT   NOT NULL,
	rev    INTEGER NOT NULL CHECK (rev > 0),
	body   TEXT   NOT NULL,
	mac    BLOB   NOT NULL,
	PRIMARY KEY (tenant)
) STRICT;

CREATE TABLE vault_secret (
	tenant TEXT   NOT NULL,
	name   TEXT   NOT NULL,
	rev    INTEGER NOT NULL CHECK (rev > 0),
	body   TEXT   NOT NULL,
	mac    BLOB   NOT NULL,
	PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE vault_version (
	tenant   TEXT   NOT NULL,
	name     TEXT   NOT NULL,
	version  INTEGER NOT NULL CHECK (version > 0),
	data_key BLOB   NOT NULL,
	value    BLOB   NOT NULL,
	PRIMARY KEY (tenant, name, version)
) STRICT;

-- How Secrets are rotated, and the rotations that go on, with the last of each.
CREATE TABLE rotation_policy (
	tenant TEXT NOT NULL,
	secret TEXT NOT NULL,
	body TEXT NOT NULL,
	by TEXT NOT NULL,
	at INTEGER NOT NULL,
	revision INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, secret)
) STRICT;
CREATE TABLE rotation (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	secret TEXT NOT NULL,
	state TEXT NOT NULL,
	body TEXT NOT NULL,
	revision INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX rotation_secret ON rotation (tenant, secret);

-- Credentials that backends have made for Runs, or are asked to make: by what each is
-- ended there. No value.
CREATE TABLE lease (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	run TEXT NOT NULL,
	secret TEXT NOT NULL,
	version INTEGER NOT NULL,
	backend TEXT NOT NULL,
	path TEXT NOT NULL,
	place TEXT NOT NULL,
	handle TEXT NOT NULL,
	lease TEXT NOT NULL,
	digest TEXT NOT NULL,
	state TEXT NOT NULL,
	issued INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	why TEXT NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
