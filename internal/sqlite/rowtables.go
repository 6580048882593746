package sqlite

import (
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/rotation"
)

// The tables. What is left out of comparison after a restart (loose) is checked
// by each row's MAC and, while a process runs, against what it knows; so what a
// writer of the file can do to it is to put back, between two processes, a value
// that the same row once had:
//   - account.totp_counter moves at each confirmation, without an audit entry. A
//     code is good for a minute and a half, and never without the password.
//   - run's counters and whether it waits or runs. Its limits are then counted
//     from an earlier number; who started what, and that it has not ended, are
//     compared.
//   - passkey.counter, which moves with each signature. A copy of a key is then
//     found later; who verifies the audit log finds it, as the counts are in there.
//   - session.seen_at, which idle time is counted from.
//   - worker_token.used_at, which people are shown.
//   - incident.count and last_at, of one that is open: it was met less often.
//   - lease.expires, which moves with each renewal: one that could not be revoked is
//     held for expired earlier.
//
// Not covered at all: rows that can make nothing happen (an Intent in a final
// state, a closed Decision or incident, an ended Run) may be removed; their MAC is checked
// when they are read.
var (
	tbResource = define(0, table{name: "resource", keys: 3,
		columns: []string{"tenant", "kind", "name", "revision", "body", "applied_at"}})

	tbTeam = define(1, table{name: "team", keys: 2,
		columns: []string{"tenant", "id", "name", "created_at"}})

	tbMember = define(2, table{name: "team_member", keys: 3,
		columns: []string{"tenant", "team", "account", "since"},
		of:      func(r *row) string { return r.text("team") }})

	tbAccount = define(3, table{name: "account", keys: 2, loose: []string{"totp_counter"},
		columns: []string{"tenant", "id", "name", "display_name", "roles", "disabled", "must_change", "password",
			"totp_salt", "totp_algorithm", "totp_counter", "revision", "created_at", "admin_since"}})

	tbSession = define(4, table{name: "session", keys: 2, loose: []string{"seen_at"},
		columns: []string{"tenant", "id", "account", "hash", "bind", "created_at", "seen_at", "expires_at", "ended_at"},
		live:    func(r *row) bool { return r.number("ended_at") == 0 }, liveSQL: "ended_at = 0",
		of: func(r *row) string { return r.text("account") }})

	tbFactor = define(5, table{name: "factor", keys: 2,
		columns: []string{"tenant", "id", "account", "method", "act", "at", "used_at"},
		live:    func(r *row) bool { return r.number("used_at") == 0 }, liveSQL: "used_at = 0",
		of: func(r *row) string { return r.text("account") }})

	tbDecision = define(6, table{name: "decision", keys: 2,
		columns: []string{"tenant", "id", "intent", "revision", "run", "mission", "digest", "needs", "votes", "state", "created_at", "expires_at",
			"decided_at", "reason", "auto_by", "policies", "policy_set", "note", "break_glass", "passkey", "notes", "held_at", "origins"},
		live: func(r *row) bool { return r.text("state") == "open" }, liveSQL: "state = 'open'",
		of: func(r *row) string { return r.text("intent") }})

	tbRun = define(7, table{name: "run", keys: 2,
		loose: []string{"state", "segment", "turns", "tokens_in", "tokens_out", "cost_usd", "incidents", "refusals", "rests"},
		columns: []string{"tenant", "id", "mission", "starter", "starter_name", "via", "worker", "auth", "source", "input", "salt", "state", "verdict", "summary", "segment",
			"turns", "tokens_in", "tokens_out", "cost_usd", "incidents", "refusals", "rests", "start_key", "created_at", "ended_at", "erased_at"},
		live: func(r *row) bool { return r.text("state") != string(intent.RunEnded) }, liveSQL: "state <> 'ended'",
		of: func(r *row) string { return startOf(r.text("mission"), r.text("starter"), r.text("start_key")) }})

	tbIntent = define(8, table{name: "intent", keys: 2,
		columns: []string{"tenant", "id", "run", "ordinal", "state", "revision", "connection", "tool", "effect", "args_digest", "edited_digest", "key", "body", "why", "result",
			"fence", "claimant", "sent_at", "resent", "created_at", "updated_at"},
		live: func(r *row) bool { return r.state("state").Open() }, liveSQL: "state IN (" + openStates + ")",
		of: func(r *row) string { return r.text("run") }})

	tbIncident = define(9, table{name: "incident", keys: 2, loose: []string{"last_at", "count"},
		columns: []string{"tenant", "id", "kind", "state", "same", "at", "last_at", "count", "run", "mission", "worker", "intent", "connection", "tool",
			"actor", "place", "secret", "also", "rule", "family", "confidence", "quarantine", "not_kept", "closed_at", "closed_by", "closed_by_name",
			"outcome", "note"},
		live: func(r *row) bool { return r.text("state") == incident.Open }, liveSQL: "state = 'open'",
		of: func(r *row) string { return r.text("same") }})

	tbUse = define(10, table{name: "policy_use", keys: 3,
		columns: []string{"tenant", "scope", "intent", "at", "amount", "until"},
		of:      func(r *row) string { return r.text("scope") }})

	// Rows that are written once. None is live: a changed one is found by its MAC, and
	// one that is gone by the number that the Intent or the Decision has.
	tbRevision = define(11, table{name: "intent_revision", keys: 2, live: never, liveSQL: "1 = 0",
		columns: []string{"tenant", "id", "intent", "revision", "digest", "args", "edited_at", "edited_by", "edited_by_name", "reason"}})

	tbNote = define(12, table{name: "decision_note", keys: 2, live: never, liveSQL: "1 = 0",
		columns: []string{"tenant", "id", "decision", "intent", "run", "answers", "account", "name", "text", "salt", "at"}})

	tbPasskey = define(13, table{name: "passkey", keys: 2, loose: []string{"counter", "used_at"},
		columns: []string{"tenant", "id", "account", "name", "party", "credential", "public_key", "algorithm", "aaguid", "synced", "counter",
			"created_at", "usable_at", "used_at"},
		of: func(r *row) string { return r.text("account") }})

	tbPending = define(14, table{name: "passkey_pending", keys: 2,
		columns: []string{"tenant", "id", "account", "kind", "act", "nonce", "given_by", "at", "expires_at"},
		of:      func(r *row) string { return r.text("account") }})

	tbStop = define(15, table{name: "stop", keys: 3,
		columns: []string{"tenant", "kind", "name", "since", "by", "by_name", "reason"}})

	tbHold = define(16, table{name: "hold", keys: 3,
		columns: []string{"tenant", "kind", "name", "since", "by", "reason"}})

	tbWorkerToken = define(17, table{name: "worker_token", keys: 2, loose: []string{"used_at"},
		columns: []string{"tenant", "id", "worker", "hash", "bind", "fingerprint", "by", "created_at", "expires_at", "used_at"},
		of:      func(r *row) string { return r.text("worker") }})

	// What private records' names are hashed with: one row, which is replaced when they
	// are to be forgotten.
	tbRecordKey = define(23, table{name: "record_key", keys: 2,
		columns: []string{"tenant", "id", "nonce", "since"}})

	tbToolChange = define(18, table{name: "tool_change", keys: 2,
		columns: []string{"tenant", "id", "kind", "state", "integration", "connection", "tool", "pinned", "pinned_hash", "seen", "seen_hash", "why", "at", "by",
			"settled_at", "note"},
		live: func(r *row) bool { return r.text("state") == string(connector.ItemOpen) }, liveSQL: "state = 'open'"})

	tbRotationPolicy = define(21, table{name: "rotation_policy", keys: 2,
		columns: []string{"tenant", "secret", "body", "by", "at", "revision"}})

	tbRotation = define(22, table{name: "rotation", keys: 2,
		columns: []string{"tenant", "id", "secret", "state", "body", "revision"},
		live:    func(r *row) bool { return !rotation.State(r.text("state")).Final() }, liveSQL: rotationGoesOn,
		of: func(r *row) string { return r.text("secret") }})

	tbLease = define(19, table{name: "lease", keys: 2, loose: []string{"expires"},
		columns: []string{"tenant", "id", "run", "secret", "version", "backend", "path", "place", "handle", "lease", "digest", "state", "issued", "expires", "why"},
		of:      func(r *row) string { return r.text("run") }})

	tbHead = &table{name: "row_head"} // only named, in refusals

	tables = []*table{tbResource, tbTeam, tbMember, tbAccount, tbSession, tbFactor, tbDecision, tbRun, tbIntent, tbIncident, tbUse, tbRevision, tbNote, tbPasskey, tbPending, tbStop, tbHold, tbWorkerToken, tbRecordKey, tbToolChange, tbRotationPolicy, tbRotation, tbLease}
)

// rotationGoesOn is a condition that rotations meet which have not ended.
const rotationGoesOn = "state NOT IN ('done', 'failed', 'rolled_back')"

func never(*row) bool { return false }

// startOf names the start of a Run that a key makes one of; "" without a key.
func startOf(mission, starter, key string) string {
	if key == "" {
		return ""
	}
	return mission + "\n" + starter + "\n" + key // neither of the first two has a line end
}

// openStates are the states of an Intent that are not final, as SQL.
const openStates = `'PROPOSED', 'PARKED', 'APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN', 'NEEDS_HUMAN'`
