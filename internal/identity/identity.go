// Package identity knows who calls: people with accounts, who sign in with a
// password and a one-time code, Workers, which authenticate as their Run, and outside
// Workers, which have tokens of their own or an issuer's.
// It also keeps the Teams, because who may decide is a question about people.
//
// It refuses:
//   - to say which of name, password and code was wrong, or whether an account
//     exists: every refused sign-in has the same error and does the same work;
//   - a one-time code that was used before, for whatever it was used;
//   - to let a session approve anything: an approval takes a [Factor], a fresh
//     proof of password and code or of a passkey, made for one exact act and usable
//     once;
//   - a new passkey without an admin's link or another passkey, and password and
//     code; and verdicts of a passkey whose waiting period is not over;
//   - a Run's token after the Run has ended, and a Run's token for anything
//     but being that Run.
//
// # Security
//
// Tokens are 256 random bits, stored as keyed hashes. Passwords are hashed slowly
// over a keyed hash that names their account, session rows carry a keyed hash of
// themselves, and the secret of one-time codes is not stored at all: it is the
// keyed hash of the account and a stored random salt. So whoever can read the
// database learns no credential, and whoever can write it without the keys can't
// make one, or move one to another account. That roles, Teams, sessions and
// factors are the rows that were written last is the store's to check: what it
// answers with Denied is treated as not there. Guessing is slowed down for each
// account, never for a tenant. The keys are package vault's.
package identity

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Keys is what identity needs of the vault: keyed hashes, of 32 bytes, that stay
// the same for ever. Unavailable while the vault is sealed.
type Keys interface {
	MAC(p vault.Purpose, t ident.Tenant, parts ...string) ([]byte, error)
}

// Store is what identity needs of a store, in parts. Every method is one
// transaction; one that is given an event appends it in that transaction.
type Store interface {
	Accounts
	Proofs
	Sessions
	RunTokens
	WorkerTokens
	Teams
	Passkeys
	Pendings
}

// Accounts keeps people.
type Accounts interface {
	// InsertAccount is a Conflict when the tenant has that name already.
	InsertAccount(ctx context.Context, r Record, ev audit.Event) error
	// AccountByName and AccountByID are NotFound when there is none, and Denied
	// when what is stored is not what was stored last; so is every other read.
	AccountByName(ctx context.Context, tenant ident.Tenant, name string) (Record, error)
	AccountByID(ctx context.Context, tenant ident.Tenant, id string) (Record, error)
	// Accounts lists a tenant's people by name.
	Accounts(ctx context.Context, tenant ident.Tenant) ([]Record, error)
	// UpdateAccount stores r over the revision that r was read with, which
	// raises it by one; another one there is a Conflict. endSessions also ends
	// every session and unused factor of the account.
	UpdateAccount(ctx context.Context, r Record, endSessions bool, ev audit.Event) error
}

// Proofs keeps what a sign-in or a confirmation uses up.
type Proofs interface {
	// TakeAttempt counts one attempt at key before it is judged, so that many
	// at the same time can't outrun the count, or says how long to wait when
	// attempts are closed. backoff gives the closed time after the n-th failed
	// attempt in a row; an hour without one starts the count again.
	TakeAttempt(ctx context.Context, tenant ident.Tenant, key string, now time.Time, backoff func(n int) time.Duration) (wait time.Duration, err error)
	// AcceptProof records a good proof: it is a Conflict when p.Counter is not above
	// the account's last used one, or the account has changed since it was read.
	AcceptProof(ctx context.Context, p Proof) error
	// Peopled reports whether the tenant has any account. What strangers try at
	// tenants that do not exist leaves nothing in the store.
	Peopled(ctx context.Context, tenant ident.Tenant) (bool, error)
	// RefuseProof records a refused attempt.
	RefuseProof(ctx context.Context, ev audit.Event) error
}

// Sessions keeps who is signed in.
type Sessions interface {
	// SessionByHash is NotFound when there is none. It is the one look-up
	// without a tenant: the token is what says which tenant it is.
	SessionByHash(ctx context.Context, hash string) (SessionRow, error)
	// TouchSession moves the last use forward.
	TouchSession(ctx context.Context, tenant ident.Tenant, id string, now time.Time) error
	// EndSession ends one; one that has ended stays so.
	EndSession(ctx context.Context, tenant ident.Tenant, id string, ev audit.Event) error
	// SweepIdentity forgets what has been worthless since before: sessions and
	// Runs' tokens that expired, factors that nobody used, counts of attempts.
	SweepIdentity(ctx context.Context, before time.Time) error
}

// RunTokens keeps what Workers authenticate with.
type RunTokens interface {
	// InsertRunToken is a Conflict when the Run has ended.
	InsertRunToken(ctx context.Context, r RunRow) error
	// RunByHash is NotFound when there is none, or when its Run has ended.
	RunByHash(ctx context.Context, hash string) (RunRow, error)
	// EndRunTokens ends every token of a Run, for good: it can get no new one.
	EndRunTokens(ctx context.Context, tenant ident.Tenant, run string, now time.Time) error
}

// Teams keeps who may decide.
type Teams interface {
	// ApplyTeam creates or changes a Team. Its id is made once; who stays keeps
	// the time of joining. A member without an account is Invalid.
	ApplyTeam(ctx context.Context, tenant ident.Tenant, t resource.Team, actor string, now time.Time) (Team, error)
	// RemoveTeam forgets a Team and its id.
	RemoveTeam(ctx context.Context, tenant ident.Tenant, name, actor string, now time.Time) error
	// Team is NotFound when there is none of that name.
	Team(ctx context.Context, tenant ident.Tenant, name string) (Team, error)
	// Teams lists a tenant's Teams by name.
	Teams(ctx context.Context, tenant ident.Tenant) ([]Team, error)
	// MemberSince is when the account joined the Team of that name or id; it is
	// NotFound when the account is not in it, or is disabled.
	MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error)
}

// Team is a Team as it is stored.
type Team struct {
	Tenant  ident.Tenant `json:"tenant"`
	ID      string       `json:"id"` // "team_…", never changes
	Name    string       `json:"name"`
	Members []Member     `json:"members"`
}

// Member is one person in a Team.
type Member struct {
	Account string    `json:"account"` // id
	Name    string    `json:"name"`
	Since   time.Time `json:"since"`
}

// Proof is a good password and code, and what it was for.
type Proof struct {
	Tenant   ident.Tenant
	Account  string
	Revision int64  // of the account, as it was judged
	Counter  int64  // of the one-time code
	Attempts string // the key whose count ends
	Session  *SessionRow
	Factor   *Factor
	Used     bool    // the factor's act follows at once: it is stored as used up
	Change   *Record // the account after the change that the proof was for
	Event    *audit.Event
}

// Factor is a fresh proof by a person that they mean one exact act. It is
// stored when it is made, and whoever acts on it uses it up in the transaction
// of the act: a Factor that is not stored is worth nothing.
type Factor struct {
	ID      string        `json:"id"` // "fac_…"
	Tenant  ident.Tenant  `json:"tenant"`
	Account string        `json:"account"`
	Method  string        `json:"method"` // "password+totp", "passkey"
	At      time.Time     `json:"at"`
	For     intent.Digest `json:"for"` // the digest of the act
	// Proof is what a passkey signed, for the audit log; nil of another method.
	Proof *passkey.Assertion `json:"-"`
}

// MethodTOTP is the method of a Factor of password and one-time code.
const MethodTOTP = "password+totp"

// Directory is the service. It is safe for concurrent use.
type Directory struct {
	store Store
	keys  Keys
	work  chan struct{} // bounds how many passwords are hashed at once

	passkeys passkeys
	workers  workers
}

// maxHashing bounds the memory that strangers can make the server use: each
// password takes 19 MiB while it is hashed.
const maxHashing = 4

// New makes the service.
func New(store Store, keys Keys, opts ...Option) (*Directory, error) {
	if store == nil || keys == nil {
		return nil, fault.New(fault.Internal, "opening the directory of people without a store or keys")
	}
	d := &Directory{store: store, keys: keys, work: make(chan struct{}, maxHashing)}
	for _, o := range opts {
		o(d)
	}
	return d, nil
}
