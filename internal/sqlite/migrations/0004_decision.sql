-- The verdicts on Intents, and the waits for them.

CREATE TABLE decision (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	intent TEXT NOT NULL,
	revision INTEGER NOT NULL,
	run TEXT NOT NULL,
	mission TEXT NOT NULL,
	digest TEXT NOT NULL,
	team TEXT NOT NULL,             -- the name, as it was
	team_id TEXT NOT NULL,          -- empty where policy decided
	state TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	decided_at INTEGER NOT NULL DEFAULT 0,
	decided_by TEXT NOT NULL DEFAULT '',
	decided_by_name TEXT NOT NULL DEFAULT '',
	factor TEXT NOT NULL DEFAULT '',
	method TEXT NOT NULL DEFAULT '',
	reason TEXT NOT NULL DEFAULT '',
	auto_by TEXT NOT NULL DEFAULT '',
	policies TEXT NOT NULL DEFAULT '', -- ids, one a line
	policy_set TEXT NOT NULL DEFAULT '',
	self_approval INTEGER NOT NULL DEFAULT 0,
	held_at INTEGER NOT NULL DEFAULT 0, -- when a known secret was first found in what its page shows
	origins TEXT NOT NULL DEFAULT '', -- JSON: where the arguments were seen first; empty where nobody was asked
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX decision_queue ON decision (tenant, state, created_at, id);
CREATE INDEX decision_overdue ON decision (expires_at) WHERE state = 'open';
-- An Intent has one Decision that counts.
CREATE UNIQUE INDEX decision_live ON decision (tenant, intent) WHERE state IN ('open', 'approved');
CREATE INDEX decision_intent ON decision (tenant, intent, created_at);
