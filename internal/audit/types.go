package audit

import (
	"maps"
	"slices"
)

// Type says what happened.
type Type string

// The types of event. What is not listed can't be recorded.
const (
	LogOpened      Type = "log.opened" // entry 0 of every log, written by the Sequencer alone
	IntentProposed Type = "intent.proposed"
	IntentDenied   Type = "intent.denied"
	IntentParked   Type = "intent.parked"
	IntentDecided  Type = "intent.decided"  // approved, rejected, expired, withdrawn
	VerdictRefused Type = "verdict.refused" // somebody tried to decide, and it does not count
	DecisionHeld   Type = "decision.held"   // a known secret stands in what its page would show
	DecisionVoted  Type = "decision.voted"  // one person approved, and others are needed too
	// DecisionBreakGlass is an admin's approval in place of the Teams, which takes two.
	DecisionBreakGlass    Type = "decision.break_glass"
	DecisionAsked         Type = "decision.asked"    // an approver asks who started the Run
	DecisionAnswered      Type = "decision.answered" // and gets an answer
	IntentEdited          Type = "intent.edited"     // an approver changed what waits: a new revision, and no vote counts any more
	IntentClaimed         Type = "intent.claimed"    // durable before the secret is resolved
	IntentSending         Type = "intent.sending"    // a write's, durable before a byte leaves
	IntentOutcome         Type = "intent.outcome"
	IntentSwept           Type = "intent.swept"    // its claimant died
	IntentResolved        Type = "intent.resolved" // an UNKNOWN got its outcome, by lookup or by a person
	RunStarted            Type = "run.started"
	RunEnded              Type = "run.ended"
	SecretSet             Type = "secret.set"
	SecretRotated         Type = "secret.rotated"
	SecretDisabled        Type = "secret.disabled"
	SecretRemoved         Type = "secret.removed"     // all its versions are destroyed
	SecretDestroyed       Type = "secret.destroyed"   // one version is
	SecretDescribed       Type = "secret.described"   // what people read about it has changed
	SecretRekeyed         Type = "secret.rekeyed"     // its keys were replaced, its value not
	SecretQuarantined     Type = "secret.quarantined" // a value that nobody stored was met, and is kept
	SecretDismissed       Type = "secret.dismissed"   // a quarantined value was called no secret, and destroyed
	SecretOpened          Type = "secret.opened"      // for a use outside an Intent, such as trying a new version
	ResourceApplied       Type = "resource.applied"
	ResourceRemoved       Type = "resource.removed"
	AccountCreated        Type = "account.created"
	AccountChanged        Type = "account.changed"
	TeamChanged           Type = "team.changed"
	SessionStarted        Type = "session.started"
	SessionFailed         Type = "session.failed"
	SessionEnded          Type = "session.ended"
	FactorOffered         Type = "factor.offered"  // an admin's link to enrol a passkey, once
	FactorEnrolled        Type = "factor.enrolled" // with the public key that verdicts are checked with later
	FactorRemoved         Type = "factor.removed"
	VaultUnsealed         Type = "vault.unsealed"
	VaultRefused          Type = "vault.refused" // somebody tried to unseal it, with the wrong seal
	SealAdded             Type = "seal.added"
	SealRenewed           Type = "seal.renewed"
	SealRemoved           Type = "seal.removed"
	RootRotated           Type = "root.rotated"
	RowRefused            Type = "row.refused"     // a stored row is not the one that was written last
	BackupMade            Type = "backup.made"     // begun: its snapshot has this entry
	BackupRestored        Type = "backup.restored" // what was after it is gone
	StopSet               Type = "stop.set"        // the kill switch was thrown
	StopLifted            Type = "stop.lifted"
	ChannelFailed         Type = "channel.failed"    // the first failure of a Channel, not each
	ChannelRecovered      Type = "channel.recovered" // a message was accepted after that
	ChannelDropped        Type = "channel.dropped"   // messages were given up
	ChannelTested         Type = "channel.tested"
	WorkerIncident        Type = "worker.incident" // a Worker sent a known secret, or tried what it does not hold
	IncidentOpened        Type = "incident.opened" // a secret was met where none belongs; Workers have the type above
	IncidentClosed        Type = "incident.closed"
	LogKeyRotated         Type = "log.key_rotated"    // the key that signs from here on; what the old one signed of it is in the entry
	LogClockAccepted      Type = "log.clock_accepted" // entries from here on may be earlier than those before
	CosigningLost         Type = "cosigning.lost"     // witnesses do not cosign any more, or not enough of them
	CosigningBack         Type = "cosigning.back"
	AnchorLost            Type = "anchor.lost" // checkpoints do not reach the place outside
	AnchorBack            Type = "anchor.back"
	ExportLost            Type = "export.lost" // a sink does not take entries; they wait for it
	ExportBack            Type = "export.back"
	BodiesErased          Type = "bodies.erased" // the arguments, answers and transcript of a Run, with their salts
	HoldSet               Type = "hold.set"      // nothing of it is erased
	HoldLifted            Type = "hold.lifted"
	WorkerTokenMinted     Type = "worker.token_minted"
	WorkerTokenRevoked    Type = "worker.token_revoked" // or gone with its Worker
	WorkerLimited         Type = "worker.limited"       // what an outside Worker was denied beyond a limit, in one minute
	RecordsKeyed          Type = "records.keyed"        // what private records' names are hashed with from here on; what was before is destroyed
	LogPruned             Type = "log.pruned"           // entries below a minimum index are dropped; see prune.go
	ToolChanged           Type = "tool.changed"         // an MCP server defines a tool otherwise than it was accepted, or asks something back
	ToolSettled           Type = "tool.settled"         // what a person made of that
	IntegrationAsked      Type = "integration.asked"    // what a system offers to a credential; nothing was called
	SecretMoved           Type = "secret.moved"         // its value is in another place: our store, or a backend
	AuthorizationBegun    Type = "authorization.begun"  // a person is sent to a Connection's issuer
	AuthorizationEnded    Type = "authorization.ended"  // what came of that
	RotationPolicySet     Type = "rotation.policy_set"  // how a Secret is rotated
	RotationPolicyRemoved Type = "rotation.policy_removed"
	RotationStarted       Type = "rotation.started"
	RotationStepped       Type = "rotation.stepped" // durable before each of its acts, and after it
	RotationEnded         Type = "rotation.ended"
	IntentReopened        Type = "intent.reopened" // a version's successor, durable before it is opened for the same attempt
	LeaseAsked            Type = "lease.asked"     // a backend is asked to make a credential for a Run; durable before it is
	LeaseMade             Type = "lease.made"      // it has, durable before it is used
	LeaseLeft             Type = "lease.left"      // one was to be revoked, and could not be; it is tried again
	LeaseRevoked          Type = "lease.revoked"   // it works no more: revoked, or expired by itself
)

// form is what a field's value has to look like.
type form int

const (
	_       form = iota
	name         // an id, a name, a state: printable, at most maxName bytes
	names        // a list of at most maxNames of them
	text         // a short reason for people, scrubbed: at most maxText bytes
	digest       // SHA-256 in lower-case hex
	number       // an integer that JSON keeps exactly
	flag         // true or false
	instant      // a point in time, RFC 3339 in UTC with milliseconds
	octets       // bytes that are checked again, in base64url: at most maxOctets bytes of text
)

// vocabulary is every field's form: a field's name means the same in every type.
var vocabulary = map[string]form{
	"aaguid":         name, // which model of authenticator
	"account":        name,
	"added":          names,
	"algorithm":      name,
	"approvers":      names, // account ids, or "policy:…" ids where policy decided
	"args":           digest,
	"attempt":        name,
	"auth":           name,   // how a Worker has shown which Run it is
	"authenticator":  octets, // WebAuthn's authenticator data
	"breakGlass":     flag,
	"backend":        name,   // what keeps a value outside of our store, by its name in the server's file
	"backendVersion": name,   // as the backend calls the version that was used
	"body":           digest, // SHA-256(salt || body) of a body kept outside
	"by":             name,   // who let it happen
	"client":         octets, // WebAuthn's client data, JSON
	"cost":           number, // micro-units of the configured currency
	"count":          number,
	"credential":     octets, // a passkey's id
	"credentialHash": digest, // SHA-256 of it
	"decision":       name,
	"digest":         digest, // of the Intent, or of the resource applied
	"durationMs":     number,
	"effect":         name,
	"expires":        instant,
	"factor":         name,
	"fence":          number,
	"fields":         names,
	"from":           name, // where a value came from: its name in quarantine
	"handover":       text, // a signed note by the old key that names the next one, see OpenHandover
	"generation":     number,
	"incident":       name,
	"input":          digest,
	"key":            octets, // a public key, SubjectPublicKeyInfo
	"kept":           number, // of what was pruned, how many entries stay
	"kind":           name,
	"lease":          name, // ours, of a credential that a backend makes for a Run; digest is of the backend's id of it
	"members":        names,
	"method":         name,
	"minimum":        number, // index below which entries are dropped
	"name":           name,
	"needs":          names,  // of a verdict: who has to approve, as "TEAM:COUNT"
	"nonce":          octets, // of the challenge that a passkey signed
	"passkey":        flag,   // only a passkey's verdict counts
	"party":          name,   // whom a passkey is for: a host's name
	"observed":       names,  // ids of policies in observe mode that would have changed the verdict, each with what it would have been
	"origins":        names,  // JSON pointers of arguments whose values were seen in untrusted content first; never a value
	"outcome":        name,
	"place":          text,   // where a secret was met: a JSON pointer, or a word; scrubbed
	"policies":       names,  // ids of the policies that decided
	"policySet":      digest, // of the whole set that was evaluated
	"record":         name,   // the name of the record in the system that a call is about
	"recordKey":      digest, // keyed, in place of the name, where that is private
	"redacted":       names,  // Secrets whose marks are in an answer; a system can write such a mark itself
	"recorded":       flag,   // the Secret's value stands in recorded traffic, and that is meant
	"redactions":     number,
	"removed":        names,
	"path":           name, // of a value in a backend
	"partly":         flag, // not all of the recorded traffic was looked through
	"repeat":         flag,
	"request":        digest, // of the rendered request without its credential
	"result":         digest, // of the scrubbed result
	"revision":       number,
	"ringChanges":    number, // how many entries about the vault's keys were below the minimum
	"roles":          names,
	"rule":           name,   // that found what looks like a secret
	"rotation":       name,   // a rotation's id
	"row":            digest, // keyed, of the stored row as it then is: what is there later is compared with it
	"scope":          digest, // of the Secret's usage scope
	"seal":           name,
	"secret":         name,   // the Secret's name; never a value
	"secretChanges":  number, // how many entries about Secrets were below the minimum
	"secretVersion":  number,
	"secrets":        names, // as "secret"
	"selfApproval":   flag,
	"session":        name,
	"signature":      octets,
	"source":         name, // where a caller came from: an address
	"starter":        name,
	"state":          name,
	"status":         number,
	"system":         name, // the Integration
	"team":           name,
	"teams":          names,
	"tokens":         number,
	"trigger":        name,
	"turns":          number,
	"usable":         instant, // from then on a passkey's verdicts count
	"verdict":        name,
	"verifier":       text, // a note verifier key
	"why":            text,
	"worker":         name,
}

// allowed lists the fields of each type. Those of an Intent share a base.
var allowed = map[Type][]string{
	LogOpened:      {"verifier"},
	IntentProposed: {"args", "digest", "effect", "repeat", "request", "revision", "state", "why", "worker"},
	IntentDenied:   {"args", "digest", "effect", "observed", "policies", "policySet", "revision", "state", "verdict", "why", "worker"},
	IntentParked: {"args", "count", "digest", "effect", "expires", "observed", "origins", "passkey", "policies", "policySet", "repeat",
		"request", "revision", "teams", "verdict", "why"},
	IntentDecided: {"approvers", "args", "authenticator", "breakGlass", "client", "credential", "decision", "digest", "expires",
		"factor", "method", "needs", "nonce", "observed", "passkey", "policies", "policySet", "revision", "selfApproval", "session",
		"signature", "state", "team", "teams", "verdict", "why"},
	VerdictRefused: {"decision", "digest", "factor", "method", "team", "teams", "verdict", "why"},
	DecisionHeld:   {"decision", "digest", "secrets", "team", "teams"},
	IntentClaimed: {"approvers", "args", "attempt", "count", "decision", "digest", "effect", "fence", "observed", "policies",
		"policySet", "request", "revision", "secret", "secretVersion", "selfApproval", "verdict"},
	IntentSending: {"attempt", "digest", "fence"},
	IntentOutcome: {"approvers", "attempt", "backend", "backendVersion", "body", "decision", "digest", "durationMs", "effect", "fence", "redacted", "redactions", "result", "secret",
		"secretVersion", "state", "status", "why"},
	IntentSwept:       {"attempt", "digest", "fence", "state", "why"},
	IntentResolved:    {"attempt", "digest", "factor", "fence", "method", "result", "state", "status", "verdict", "why"},
	RunStarted:        {"auth", "input", "revision", "starter", "trigger", "worker"},
	RunEnded:          {"cost", "durationMs", "result", "state", "tokens", "turns", "verdict", "why"},
	SecretSet:         {"backend", "backendVersion", "fields", "from", "kind", "partly", "path", "recorded", "rotation", "scope", "secret", "secretVersion", "state", "why"},
	SecretRotated:     {"backend", "backendVersion", "expires", "fields", "partly", "path", "recorded", "rotation", "scope", "secret", "secretVersion", "state", "why"},
	SecretDisabled:    {"rotation", "secret", "secretVersion", "state", "why"},
	SecretRemoved:     {"secret", "secretVersion", "why"},
	SecretOpened:      {"fence", "scope", "secret", "secretVersion", "why"},
	ResourceApplied:   {"digest", "kind", "name", "revision", "row", "state"},
	ResourceRemoved:   {"digest", "kind", "name", "revision", "why"},
	AccountCreated:    {"account", "factor", "name", "roles", "row", "teams"},
	AccountChanged:    {"account", "factor", "name", "roles", "row", "state", "teams", "why"},
	TeamChanged:       {"added", "digest", "members", "name", "removed", "revision", "row", "team", "why"},
	SessionStarted:    {"account", "expires", "factor", "method", "session", "source"},
	SessionFailed:     {"account", "factor", "method", "name", "source", "why"},
	SessionEnded:      {"account", "session", "why"},
	SecretDestroyed:   {"secret", "secretVersion", "why"},
	SecretDescribed:   {"secret"},
	SecretQuarantined: {"kind", "secret", "secretVersion"},
	SecretDismissed:   {"kind", "secret"},
	SecretMoved:       {"backend", "backendVersion", "fields", "from", "kind", "method", "path", "scope", "secret", "secretVersion", "state"},
	SecretRekeyed:     {"count", "generation", "kind"},
	VaultUnsealed:     {"generation", "kind", "seal", "source"},
	VaultRefused:      {"count", "kind", "source", "why"},
	SealAdded:         {"generation", "kind", "seal"},
	SealRenewed:       {"generation", "kind", "seal"},
	SealRemoved:       {"generation", "kind", "seal"},
	RootRotated:       {"count", "generation", "why"},
	RowRefused:        {"kind", "name", "secret", "why"},
	BackupMade:        {"factor", "name", "why"},
	BackupRestored:    {"count", "name", "why"},
	WorkerIncident:    {"args", "count", "digest", "incident", "kind", "place", "secret", "source", "why", "worker"},
	IncidentOpened:    {"count", "incident", "kind", "name", "place", "rule", "secret", "why", "worker"},
	IncidentClosed:    {"incident", "kind", "outcome", "why"},
	ChannelFailed:     {"kind", "name", "why"},
	ChannelRecovered:  {"kind", "name"},
	ChannelDropped:    {"count", "kind", "name"},
	ChannelTested:     {"kind", "name", "why"},
	DecisionVoted: {"authenticator", "client", "credential", "decision", "digest", "expires", "factor", "method", "needs", "nonce",
		"passkey", "revision", "selfApproval", "signature", "team", "verdict", "why"},
	DecisionBreakGlass: {"authenticator", "client", "credential", "decision", "digest", "expires", "factor", "method", "needs",
		"nonce", "passkey", "revision", "signature", "state", "teams", "verdict", "why"},
	DecisionAsked:    {"decision", "digest", "name", "result"},
	DecisionAnswered: {"decision", "digest", "name", "result"},
	IntentEdited: {"args", "count", "decision", "digest", "expires", "from", "observed", "origins", "passkey", "policies", "policySet", "result",
		"revision", "teams", "verdict", "why"},
	FactorOffered: {"account", "expires", "factor"},
	FactorEnrolled: {"aaguid", "account", "algorithm", "by", "credentialHash", "factor", "key", "method", "name", "party", "row",
		"usable"},
	FactorRemoved:    {"account", "credentialHash", "factor", "why"},
	StopSet:          {"kind", "name", "row", "why"},
	StopLifted:       {"factor", "kind", "name", "why"},
	LogKeyRotated:    {"generation", "handover", "verifier", "why"},
	LogClockAccepted: {"why"},
	CosigningLost:    {"name", "why"},
	CosigningBack:    {"count", "name"},
	AnchorLost:       {"kind", "name", "why"},
	AnchorBack:       {"count", "kind", "name"},
	ExportLost:       {"kind", "name", "why"},
	ExportBack:       {"count", "kind", "name"},
	BodiesErased:     {"count", "factor", "kind", "why"},
	HoldSet:          {"kind", "name", "row", "why"},
	HoldLifted:       {"factor", "kind", "name", "why"},
	// The name of these two is the token's id, and auth says what it is seen as.
	WorkerTokenMinted:     {"auth", "expires", "factor", "method", "name", "row", "worker"},
	WorkerTokenRevoked:    {"name", "why", "worker"},
	WorkerLimited:         {"count", "why", "worker"},
	RecordsKeyed:          {"factor", "kind", "name", "row", "why"},
	LogPruned:             {"digest", "factor", "kept", "kind", "minimum", "ringChanges", "secretChanges", "why"},
	ToolChanged:           {"digest", "from", "kind", "name", "row", "system", "why"},
	ToolSettled:           {"factor", "kind", "name", "state", "system", "why"},
	IntegrationAsked:      {"secret", "secretVersion", "system"},
	AuthorizationBegun:    {"secret", "system"},
	AuthorizationEnded:    {"secret", "secretVersion", "state", "why"},
	RotationPolicySet:     {"digest", "factor", "kind", "revision", "row", "secret"},
	RotationPolicyRemoved: {"factor", "secret"},
	RotationStarted:       {"factor", "rotation", "row", "secret", "secretVersion", "state", "trigger"},
	RotationStepped:       {"count", "factor", "from", "rotation", "row", "secret", "secretVersion", "state", "verdict", "why"},
	RotationEnded:         {"count", "factor", "from", "rotation", "row", "secret", "secretVersion", "state", "verdict", "why"},
	IntentReopened:        {"attempt", "backend", "backendVersion", "digest", "fence", "secret", "secretVersion", "status", "why"},
	LeaseAsked:            {"backend", "digest", "expires", "lease", "path", "row", "secret", "secretVersion", "state", "why"},
	LeaseMade:             {"backend", "digest", "expires", "lease", "path", "row", "secret", "secretVersion", "state", "why"},
	LeaseLeft:             {"backend", "digest", "expires", "lease", "path", "row", "secret", "secretVersion", "state", "why"},
	LeaseRevoked:          {"backend", "digest", "expires", "lease", "path", "secret", "secretVersion", "state", "why"},
}

// attributes are the fields of a call's entries that say whose it is, and what it
// is about.
var attributes = []string{"auth", "record", "recordKey", "secret", "secretVersion", "source", "starter", "system", "worker"}

// attributed are the types that have them.
var attributed = []Type{IntentDenied, IntentParked, IntentDecided, IntentEdited, IntentClaimed, IntentSending, IntentOutcome, IntentSwept, IntentResolved,
	DecisionVoted, DecisionBreakGlass, DecisionAsked, DecisionAnswered, VerdictRefused}

// may says whether a type's entries have a field.
func (t Type) may(field string) bool {
	return slices.Contains(allowed[t], field) || slices.Contains(attributed, t) && slices.Contains(attributes, field)
}

// required lists what an entry is worthless without. Who acts must be able to
// prove, from the claim alone, what was allowed and by what.
var required = map[Type][]string{
	LogOpened:     {"verifier"},
	IntentClaimed: {"args", "digest", "effect", "fence"},
	LogKeyRotated: {"generation", "handover", "verifier"},
	LogPruned:     {"digest", "kept", "minimum"},
	// Without these no verdict of the passkey can be checked.
	FactorEnrolled: {"account", "credentialHash", "key", "party", "usable"},
	FactorRemoved:  {"account", "credentialHash"},
}

// Types lists every type of an entry, sorted.
func Types() []Type { return slices.Sorted(maps.Keys(allowed)) }

// SecretChanges are the types that a tenant's register of Secrets counts: as
// many as its log has of them, so many changes there were.
var SecretChanges = []Type{SecretSet, SecretRotated, SecretDisabled, SecretRemoved, SecretDestroyed, SecretDescribed, SecretRekeyed, SecretQuarantined, SecretDismissed, SecretMoved}

// RingChanges are those that the ring of the vault's keys counts.
var RingChanges = []Type{SealAdded, SealRenewed, SealRemoved, RootRotated}
