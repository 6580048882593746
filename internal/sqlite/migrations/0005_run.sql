-- Runs, their Intents with the attempt's fence, incidents, the Explain rail, the
-- transcript of the built-in Worker, applied resources, and the outbox.

CREATE TABLE run (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	mission TEXT NOT NULL,
	starter TEXT NOT NULL,
	starter_name TEXT NOT NULL,
	via TEXT NOT NULL,
	worker TEXT NOT NULL,
	auth TEXT NOT NULL DEFAULT '',  -- how an outside Worker had shown who it is, or empty
	source TEXT NOT NULL DEFAULT '', -- the address that the start came from, or empty
	input TEXT NOT NULL,
	salt TEXT NOT NULL DEFAULT '',  -- of the input's digest in the audit log
	state TEXT NOT NULL,
	verdict TEXT NOT NULL DEFAULT '',
	summary TEXT NOT NULL DEFAULT '',
	segment INTEGER NOT NULL DEFAULT 0,
	turns INTEGER NOT NULL DEFAULT 0,
	tokens_in INTEGER NOT NULL DEFAULT 0,
	tokens_out INTEGER NOT NULL DEFAULT 0,
	cost_usd REAL NOT NULL DEFAULT 0,
	incidents INTEGER NOT NULL DEFAULT 0, -- known secrets met in what the Worker sent
	refusals INTEGER NOT NULL DEFAULT 0,
	rests INTEGER NOT NULL DEFAULT 0, -- how often in a row it waited for something that did not answer
	start_key TEXT,                 -- makes a start idempotent
	created_at INTEGER NOT NULL,
	ended_at INTEGER NOT NULL DEFAULT 0,
	erased_at INTEGER NOT NULL DEFAULT 0, -- when its bodies were
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX run_start_key ON run (tenant, mission, starter, start_key) WHERE start_key IS NOT NULL;
CREATE INDEX run_starter ON run (tenant, starter, state);
CREATE INDEX run_created ON run (tenant, created_at);
CREATE INDEX run_open ON run (state) WHERE state <> 'ended';

CREATE TABLE intent (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	run TEXT NOT NULL,
	ordinal INTEGER NOT NULL,       -- its place among the Run's, from 1
	state TEXT NOT NULL,
	revision INTEGER NOT NULL,
	connection TEXT NOT NULL,
	tool TEXT NOT NULL,
	effect TEXT NOT NULL,
	args_digest TEXT NOT NULL,      -- as the Worker proposed them
	edited_digest TEXT NOT NULL,    -- as approvers changed them, or the same
	key TEXT,                       -- idempotency within the Run
	body TEXT NOT NULL,             -- the Intent as JSON, without state and result
	why TEXT NOT NULL DEFAULT '',
	result TEXT,
	fence INTEGER NOT NULL DEFAULT 0,
	claimant TEXT NOT NULL DEFAULT '',
	sent_at INTEGER NOT NULL DEFAULT 0, -- when bytes could leave for the first time
	resent INTEGER NOT NULL DEFAULT 0,  -- how often it was sent again under its key
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX run_erasable ON run (tenant, ended_at) WHERE erased_at = 0;
-- What must not be erased.
CREATE TABLE hold (
	tenant TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	since INTEGER NOT NULL,
	by TEXT NOT NULL,
	reason TEXT NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, kind, name)
) STRICT;
-- What private records' names are hashed with in the audit log.
CREATE TABLE record_key (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	nonce TEXT NOT NULL,
	since INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX intent_key ON intent (tenant, run, key) WHERE key IS NOT NULL;
CREATE INDEX intent_ordinal ON intent (tenant, run, ordinal);
CREATE INDEX intent_parked ON intent (tenant, run) WHERE state = 'PARKED';
CREATE INDEX intent_same ON intent (tenant, run, connection, tool);
CREATE INDEX intent_open ON intent (state) WHERE state IN ('APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN', 'NEEDS_HUMAN');

-- What a person has stopped: no credential is used for it.
CREATE TABLE stop (
	tenant TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,             -- empty where everything is
	since INTEGER NOT NULL,
	by TEXT NOT NULL,
	by_name TEXT NOT NULL,
	reason TEXT NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, kind, name)
) STRICT;
-- Secrets that were met where none belongs.
CREATE TABLE incident (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	state TEXT NOT NULL,
	same TEXT NOT NULL,             -- what the same thing has, should it happen again
	at INTEGER NOT NULL,
	last_at INTEGER NOT NULL,
	count INTEGER NOT NULL,
	run TEXT NOT NULL,              -- empty where none was started
	mission TEXT NOT NULL,
	worker TEXT NOT NULL,
	intent TEXT NOT NULL,
	connection TEXT NOT NULL,
	tool TEXT NOT NULL,
	actor TEXT NOT NULL,
	place TEXT NOT NULL,
	secret TEXT NOT NULL,           -- a name
	also TEXT NOT NULL,             -- names, with spaces between
	rule TEXT NOT NULL,
	family TEXT NOT NULL,
	confidence TEXT NOT NULL,
	quarantine TEXT NOT NULL,       -- a name
	not_kept TEXT NOT NULL,
	closed_at INTEGER NOT NULL DEFAULT 0,
	closed_by TEXT NOT NULL DEFAULT '',
	closed_by_name TEXT NOT NULL DEFAULT '',
	outcome TEXT NOT NULL DEFAULT '',
	note TEXT NOT NULL DEFAULT '',
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX incident_list ON incident (tenant, state, at, id);
CREATE INDEX incident_source ON incident (tenant, run, actor, at);
CREATE INDEX incident_quarantine ON incident (tenant, quarantine) WHERE quarantine <> '';

-- What Intents used of policies' rates and budgets.
CREATE TABLE policy_use (
	tenant TEXT NOT NULL,
	scope TEXT NOT NULL,            -- SHA-256 of the limited statement, and of what it counts per
	intent TEXT NOT NULL,
	at INTEGER NOT NULL,
	amount INTEGER NOT NULL,
	until INTEGER NOT NULL,         -- when it counts no more
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, scope, intent)
) STRICT;
CREATE INDEX policy_use_until ON policy_use (until);

CREATE TABLE observation (
	tenant TEXT NOT NULL,
	run TEXT NOT NULL,
	seq INTEGER NOT NULL,
	at INTEGER NOT NULL,
	kind TEXT NOT NULL,
	title TEXT NOT NULL,
	text TEXT NOT NULL,
	intent TEXT NOT NULL,
	data TEXT NOT NULL,
	detail TEXT NOT NULL DEFAULT '', -- the typed part, as JSON
	entry INTEGER,                  -- index of its entry in the audit log
	PRIMARY KEY (tenant, run, seq)
) STRICT;

CREATE TABLE transcript (
	tenant TEXT NOT NULL,
	run TEXT NOT NULL,
	seq INTEGER NOT NULL,
	body TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (tenant, run, seq)
) STRICT;

CREATE TABLE resource (
	tenant TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	revision INTEGER NOT NULL,
	body TEXT NOT NULL,
	applied_at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, kind, name)
) STRICT;

CREATE TABLE outbox (
	tenant TEXT NOT NULL,
	kind TEXT NOT NULL,
	ref TEXT NOT NULL,
	due_at INTEGER NOT NULL,
	tries INTEGER NOT NULL DEFAULT 0,
	generation INTEGER NOT NULL DEFAULT 0, -- raised each time that it is put in again
	PRIMARY KEY (tenant, kind, ref)
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at);

-- Messages for the receivers that Channels name. Each refers to what it tells of,
-- and is rendered from that when it is sent.
CREATE TABLE notice (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,               -- the receiver's: the same at every try
	channel TEXT NOT NULL,
	event TEXT NOT NULL,
	decision TEXT NOT NULL,         -- or empty
	run TEXT NOT NULL,
	mission TEXT NOT NULL,
	team TEXT NOT NULL,             -- the name, or empty
	at INTEGER NOT NULL,            -- when it was to be sent first
	due_at INTEGER NOT NULL,
	tries INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX notice_due ON notice (due_at, tenant, channel);
CREATE INDEX notice_channel ON notice (tenant, channel, due_at, id);

CREATE TABLE channel_state (
	tenant TEXT NOT NULL,
	channel TEXT NOT NULL,
	fails INTEGER NOT NULL,         -- in a row
	since INTEGER NOT NULL,         -- when they began
	told_at INTEGER NOT NULL,       -- when the audit log was last told of a failure
	failing INTEGER NOT NULL,       -- it was told, and of no recovery since
	next_at INTEGER NOT NULL,       -- nothing is sent before
	tried_at INTEGER NOT NULL,
	sent_at INTEGER NOT NULL,       -- when a message was last accepted
	dropped INTEGER NOT NULL,       -- messages that were given up
	problem TEXT NOT NULL,          -- the last failure, in words of the product
	PRIMARY KEY (tenant, channel)
) STRICT;

CREATE TABLE schedule_mark (
	tenant TEXT NOT NULL,
	mission TEXT NOT NULL,
	cron TEXT NOT NULL,
	last_at INTEGER NOT NULL,
	PRIMARY KEY (tenant, mission, cron)
) STRICT;

-- What an MCP server defines otherwise than it was accepted, or asks back.
CREATE TABLE tool_change (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	state TEXT NOT NULL,
	integration TEXT NOT NULL,
	connection TEXT NOT NULL,
	tool TEXT NOT NULL,
	pinned TEXT NOT NULL,           -- the definition that was accepted; empty where there is none
	pinned_hash TEXT NOT NULL,
	seen TEXT NOT NULL,             -- the one that the server has now, or what it asks
	seen_hash TEXT NOT NULL,
	why TEXT NOT NULL,
	at INTEGER NOT NULL,
	by TEXT NOT NULL,
	settled_at INTEGER NOT NULL,
	note TEXT NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX tool_change_open ON tool_change (tenant, integration) WHERE state = 'open';
