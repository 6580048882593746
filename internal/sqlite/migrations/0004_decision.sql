-- The verdicts on Intents, and the waits for them.

CREATE TABLE decision (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	intent TEXT NOT NULL,
	revision INTEGER NOT NULL,
	run TEXT NOT NULL,
	mission TEXT NOT NULL,
	digest TEXT NOT NULL,
	needs TEXT NOT NULL,            -- JSON: so many people of which Teams; [] where policy decided
	votes TEXT NOT NULL,            -- JSON: who said what, in their order
	state TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	decided_at INTEGER NOT NULL DEFAULT 0,
	reason TEXT NOT NULL DEFAULT '',
	auto_by TEXT NOT NULL DEFAULT '',
	policies TEXT NOT NULL DEFAULT '', -- ids, one a line
	policy_set TEXT NOT NULL DEFAULT '',
	note TEXT NOT NULL DEFAULT '',  -- why it asks, in policy's words
	break_glass INTEGER NOT NULL DEFAULT 0, -- two admins approved it in place of the Teams
	passkey INTEGER NOT NULL DEFAULT 0, -- only votes by passkey count
	notes INTEGER NOT NULL DEFAULT 0, -- how many questions and answers there are on its Intent
	held_at INTEGER NOT NULL DEFAULT 0, -- when a known secret was first found in what its page shows
	origins TEXT NOT NULL DEFAULT '', -- JSON: where the arguments were seen first; empty where nobody was asked
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX decision_queue ON decision (tenant, state, created_at, id);
CREATE INDEX decision_all ON decision (tenant, created_at, id);
CREATE INDEX decision_run ON decision (tenant, run, created_at, id);
CREATE INDEX decision_overdue ON decision (expires_at, tenant, id) WHERE state = 'open';
-- An Intent has one Decision that counts.
CREATE UNIQUE INDEX decision_live ON decision (tenant, intent) WHERE state IN ('open', 'approved');
CREATE INDEX decision_intent ON decision (tenant, intent, created_at, id);
-- The Decisions by the Teams that are needed: what a member's queue is read by. It
-- decides nothing, so nothing of it is signed: what it leads to is looked at.
CREATE TABLE decision_team (
	tenant TEXT NOT NULL,
	team TEXT NOT NULL,             -- its id
	state TEXT NOT NULL,            -- the Decision's
	created_at INTEGER NOT NULL,
	decision TEXT NOT NULL,
	PRIMARY KEY (tenant, team, state, created_at, decision)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_team_of ON decision_team (tenant, decision);

-- What an Intent was before an approver changed it.
CREATE TABLE intent_revision (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,               -- the Intent's, a dot, the number of the revision
	intent TEXT NOT NULL,
	revision INTEGER NOT NULL,
	digest TEXT NOT NULL,
	args TEXT NOT NULL,             -- as they were
	edited_at INTEGER NOT NULL,
	edited_by TEXT NOT NULL,        -- account
	edited_by_name TEXT NOT NULL,
	reason TEXT NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX intent_revision_of ON intent_revision (tenant, intent, revision);

-- What approvers asked who started the Run, and what they answered.
CREATE TABLE decision_note (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	decision TEXT NOT NULL,
	intent TEXT NOT NULL,
	run TEXT NOT NULL,
	answers TEXT NOT NULL,          -- the question's id; empty in a question
	account TEXT NOT NULL,
	name TEXT NOT NULL,
	text TEXT NOT NULL,
	salt TEXT NOT NULL,             -- of the text's digest in the audit log
	at INTEGER NOT NULL,
	mac BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX decision_note_of ON decision_note (tenant, intent, at);
CREATE INDEX decision_note_run ON decision_note (tenant, run, at);
