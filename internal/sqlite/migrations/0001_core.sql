-- The audit log: one Merkle log for each tenant. entry is the record; the other
-- columns of audit_entry are taken from it, for queries, and verification
-- compares them. Stored hashes have the indexes of golang.org/x/mod/sumdb/tlog.
-- Times are milliseconds since 1970, UTC. INTEGER is STRICT's word for 64 bits
-- (BIGINT in PostgreSQL).

CREATE TABLE audit_head (
	tenant     TEXT    NOT NULL,
	size       INTEGER NOT NULL CHECK (size > 0),
	checkpoint BLOB    NOT NULL,
	verifier   TEXT    NOT NULL,
	generation INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	PRIMARY KEY (tenant)
) STRICT;

-- The last checkpoint of each log that witnesses have cosigned. It proves itself.
CREATE TABLE audit_cosigned (
	tenant     TEXT    NOT NULL,
	size       INTEGER NOT NULL,
	checkpoint BLOB    NOT NULL,
	PRIMARY KEY (tenant)
) STRICT;

CREATE TABLE audit_entry (
	tenant     TEXT    NOT NULL,
	idx        INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	type       TEXT    NOT NULL,
	actor      TEXT    NOT NULL,
	run        TEXT    NOT NULL,
	intent     TEXT    NOT NULL,
	connection TEXT    NOT NULL,
	entry      BLOB    NOT NULL,
	PRIMARY KEY (tenant, idx)
) STRICT;

CREATE INDEX audit_entry_type       ON audit_entry (tenant, type, idx);
CREATE INDEX audit_entry_run        ON audit_entry (tenant, run, idx)        WHERE run <> '';
CREATE INDEX audit_entry_intent     ON audit_entry (tenant, intent, idx)     WHERE intent <> '';
CREATE INDEX audit_entry_connection ON audit_entry (tenant, connection, idx) WHERE connection <> '';

-- What entries are about, for queries. It is made of the entries, decides nothing,
-- and verification compares it.
CREATE TABLE audit_ref (
	tenant     TEXT    NOT NULL,
	kind       TEXT    NOT NULL,
	value      TEXT    NOT NULL,
	idx        INTEGER NOT NULL,
	PRIMARY KEY (tenant, kind, value, idx)
) STRICT, WITHOUT ROWID;

-- How far each sink of an export is.
CREATE TABLE audit_sink (
	tenant     TEXT    NOT NULL,
	sink       TEXT    NOT NULL,
	next       INTEGER NOT NULL,
	PRIMARY KEY (tenant, sink)
) STRICT;

CREATE TABLE audit_hash (
	tenant     TEXT    NOT NULL,
	idx        INTEGER NOT NULL,
	hash       BLOB    NOT NULL,
	PRIMARY KEY (tenant, idx)
) STRICT;
