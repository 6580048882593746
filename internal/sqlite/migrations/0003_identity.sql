-- People, their sessions and factors, Workers' tokens, and Teams.
--
-- mac, here and in the following migrations, is a keyed hash of the row: who
-- writes the file without the key can't make one.

-- What the rows that have a mac are, of each tenant: the sums of what its live
-- rows have there, by table, hidden, under a keyed hash that names the audit
-- log's checkpoint.
CREATE TABLE row_head (
	tenant TEXT NOT NULL,
	nonce BLOB NOT NULL,
	body BLOB NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant)
) STRICT;

CREATE TABLE account (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	display_name TEXT NOT NULL,
	roles TEXT NOT NULL,            -- separated by spaces
	disabled INTEGER NOT NULL,
	must_change INTEGER NOT NULL,
	password TEXT NOT NULL,         -- slow hash of a keyed hash, PHC format
	totp_salt BLOB NOT NULL,        -- the secret is a keyed hash of it
	totp_algorithm TEXT NOT NULL,
	totp_counter INTEGER NOT NULL,  -- the last step whose code was used
	revision INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	admin_since INTEGER NOT NULL,   -- with these one-time codes; 0 without the role
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX account_name ON account (tenant, name);

-- Failed attempts in a row, by account or by bucket of unknown names.
CREATE TABLE attempt_count (
	tenant TEXT NOT NULL,
	key TEXT NOT NULL,
	failures INTEGER NOT NULL,
	last_at INTEGER NOT NULL,
	closed_until INTEGER NOT NULL,
	PRIMARY KEY (tenant, key)
) STRICT;

CREATE TABLE session (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	account TEXT NOT NULL,
	hash TEXT NOT NULL,
	bind TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	seen_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	ended_at INTEGER NOT NULL DEFAULT 0,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
) STRICT;
CREATE UNIQUE INDEX session_hash ON session (hash);
CREATE INDEX session_account ON session (tenant, account);

-- Fresh proofs of a person for one exact act; used_at is set once.
CREATE TABLE factor (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	account TEXT NOT NULL,
	method TEXT NOT NULL,
	act TEXT NOT NULL,
	at INTEGER NOT NULL,
	used_at INTEGER NOT NULL DEFAULT 0,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
) STRICT;
CREATE INDEX factor_account ON factor (tenant, account);

-- WebAuthn credentials.
CREATE TABLE passkey (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	account TEXT NOT NULL,
	name TEXT NOT NULL,
	party TEXT NOT NULL,            -- the host's name that it is for
	credential BLOB NOT NULL,
	public_key BLOB NOT NULL,       -- SubjectPublicKeyInfo
	algorithm TEXT NOT NULL,
	aaguid TEXT NOT NULL,
	synced INTEGER NOT NULL,
	counter INTEGER NOT NULL,       -- of the last signature
	created_at INTEGER NOT NULL,
	usable_at INTEGER NOT NULL,
	used_at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
) STRICT;
CREATE UNIQUE INDEX passkey_credential ON passkey (tenant, credential);
CREATE INDEX passkey_account ON passkey (tenant, account);

-- Challenges and links: each is removed when it is used.
CREATE TABLE passkey_pending (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,               -- of a link, the keyed hash of its token
	account TEXT NOT NULL,
	kind TEXT NOT NULL,
	act TEXT NOT NULL,
	nonce BLOB NOT NULL,
	given_by TEXT NOT NULL,
	at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
) STRICT;
CREATE INDEX passkey_pending_account ON passkey_pending (tenant, account, kind);

CREATE TABLE run_token (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	run TEXT NOT NULL,
	hash TEXT NOT NULL,
	bind TEXT NOT NULL,
	via TEXT NOT NULL DEFAULT '',   -- the hash of the Worker's token that it was got with, or empty
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX run_token_hash ON run_token (hash);
CREATE INDEX run_token_run ON run_token (tenant, run);

-- Tokens of outside Workers; one that is revoked is removed.
CREATE TABLE worker_token (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	worker TEXT NOT NULL,
	hash TEXT NOT NULL,
	bind TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	by TEXT NOT NULL,               -- account
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	used_at INTEGER NOT NULL,       -- to the hour
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX worker_token_hash ON worker_token (hash);
CREATE INDEX worker_token_worker ON worker_token (tenant, worker);

-- What outside Workers were denied beyond a limit, by minute, until the audit log
-- has it.
CREATE TABLE worker_excess (
	tenant TEXT NOT NULL,
	worker TEXT NOT NULL,
	minute INTEGER NOT NULL,        -- its beginning
	denied INTEGER NOT NULL,
	why TEXT NOT NULL,              -- the limit that was met first
	PRIMARY KEY (tenant, worker, minute)
) STRICT;

-- Runs that get no token any more.
CREATE TABLE run_token_end (
	tenant TEXT NOT NULL,
	run TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (tenant, run)
) STRICT;

CREATE TABLE team (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX team_name ON team (tenant, name);

CREATE TABLE team_member (
	tenant TEXT NOT NULL,
	team TEXT NOT NULL,
	account TEXT NOT NULL,
	since INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, team, account),
	FOREIGN KEY (tenant, team) REFERENCES team (tenant, id) ON DELETE CASCADE,
	FOREIGN KEY (tenant, account) REFERENCES account (tenant, id)
) STRICT;
CREATE INDEX team_member_of ON team_member (tenant, account);
