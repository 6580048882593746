// Package vault keeps Secrets encrypted, and opens doors with them. Values go
// in; no function gives one back. What a Secret is for is offered as the
// standard library's interface: a RoundTripper that authenticates the requests
// to one origin, or leads to a child that has the credential (Open), a crypto.Signer (AuditKey), a mail server that somebody is
// signed in to (OpenMail).
//
// A version's value can stay in a backend elsewhere (package backend): then what is
// encrypted is a pointer to it, and the value is fetched when it is used, is scrubbed
// for before that, and is in memory alone.
//
// The envelope: the root key is encrypted to each seal (package kek); it wraps
// each tenant's project key; that, a data key for each version of a Secret; that,
// the version's fields. Each ciphertext is bound to where it belongs. Keyed hashes
// and signing keys come from a derivation key, which the root key wraps too and
// which stays when that is replaced. All other keys can be rotated while doors
// are open; see docs/vault.md.
//
// It refuses everything while it is sealed; a Secret whose rows are not the
// ones that were written last; a use outside a version's usage scope; a version
// that is disabled or destroyed; values that can't be scrubbed from answers, and
// those that stand in what was recorded already, unless that is meant.
//
// # Security
//
// Who can write the database and has no seal can't read a value, move it to
// another name, tenant or version, widen its usage scope, or put an old row
// back: the fault names the Secret, and the audit log has it. Such a person can
// destroy. A whole data directory put back is found only with an audit
// checkpoint that was kept elsewhere. In memory the root key and the derivation
// key are in locked pages, values exist in open doors, a scrub.Set knows them all, and
// what was fetched from a backend is kept for as long as it is scrubbed for.
package vault

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/proccred"
)

// Config is what a vault needs besides its store and seals.
type Config struct {
	// Tenant is whose audit log records what concerns the whole vault.
	Tenant ident.Tenant
	Now    func() time.Time
	Log    *slog.Logger // what the vault logs is scrubbed with what it knows
	// Guarded are paths of the server's own that no child may have within reach.
	Guarded []string
	// Programs are the absolute paths of those that Integrations may run as children;
	// Unconfined lets them do so where the system can't hold them.
	Programs   []string
	Unconfined bool
	// Recorded looks for a value that is to be stored; nil: nowhere.
	Recorded Recorded
	// Backends are what keeps values outside of the store; nil: nothing does.
	Backends *backend.Registry
	// Changed is told that what is at a path of a backend has changed, if anybody wants
	// to know. It does not block.
	Changed func(Spot)
}

// Vault is sealed when it is made, and safe for concurrent use.
type Vault struct {
	cfg    Config
	holder scrub.Holder // the secrets of all tenants; outlives sealing

	nonces   nonces             // of values on their way in
	children *proccred.Children // that have credentials
	tokens   tokens             // that it has got for itself
	grants   grants             // authorizations under way

	hearsay hearsay // what systems say of versions
	outside outside // what was fetched from backends
	asks    asks
	watches watches // of backends
	hires   hires   // what they have made for Runs

	mu    sync.Mutex // held by everything that changes the store
	store Store      // set by the first Unseal
	meet  meeting    // of a sealed start

	// replacing is held to write while the root key and the state that goes with
	// it are replaced, and to read by who decrypts without mu.
	replacing sync.RWMutex
	root      atomic.Pointer[plain.Page] // nil while sealed
	derive    atomic.Pointer[plain.Page] // nil while sealed
	state     atomic.Pointer[state]      // nil while sealed; what it points to never changes
	by        atomic.Pointer[opened]     // by what the last unsealing was done
}

// state is everything that was stored, verified, as of one moment.
type state struct {
	root    RootRow
	seals   []SealRow
	refused map[string]error // why a seal's row is not trusted, by its id; "": a row is missing
	tenants map[ident.Tenant]*tenant
	strays  []stray // found at the unsealing
}

// tenant is one tenant's part of it.
type tenant struct {
	projects map[int]ProjectRow // by term
	register register
	secrets  map[string]*entry // by name
	set      *scrub.Set        // of all versions that are not destroyed
	bad      error             // why all of it is refused: the register is not the last one
	learned  []scrub.Secret    // tokens that the vault has got at run time; in no store
}

// entry is a Secret and its ciphertexts.
type entry struct {
	rev  int64
	head Secret
	keys map[int]VersionRow // by version
	bad  error              // why it is refused, when its rows are not the ones that were written
}

// New makes a sealed vault.
func New(c Config) (*Vault, error) {
	if c.Now == nil || c.Log == nil {
		return nil, fault.New(fault.Internal, "a vault without a clock or a log")
	}
	if err := ident.CheckName(string(c.Tenant)); err != nil {
		return nil, err
	}
	v := &Vault{cfg: c}
	v.cfg.Log = slog.New(scrub.Handler(c.Log.Handler(), &v.holder, unknown.String))
	var err error
	v.children, err = proccred.New(proccred.Config{Log: v.cfg.Log, Now: c.Now, Guarded: c.Guarded})
	return v, err
}

// Holder holds the secrets of all tenants, for what belongs to the process, such
// as its log. It goes on knowing them when the vault is sealed.
func (v *Vault) Holder() *scrub.Holder { return &v.holder }

// Scrub gives the current set of a tenant's secrets. While the vault is sealed
// that is the set of all tenants, since something known may still be in flight.
func (v *Vault) Scrub(t ident.Tenant) *scrub.Set {
	s := v.state.Load()
	if s == nil {
		return v.holder.Load()
	}
	if ten := s.tenants[t]; ten != nil {
		return ten.set
	}
	return &scrub.Set{}
}

// Sealed reports whether the vault refuses everything.
func (v *Vault) Sealed() bool { return v.state.Load() == nil }

// Seal forgets the root key. Doors that are open stay open until their calls end.
func (v *Vault) Seal() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lockdown()
}

// lockdown is Seal under the lock.
func (v *Vault) lockdown() {
	v.state.Store(nil)
	v.dropHires() // before the children's end: none is started with one
	v.reviewChildren(nil)
	v.outside.end(v.cfg.Now())
	for _, p := range []*atomic.Pointer[plain.Page]{&v.root, &v.derive} {
		if page := p.Swap(nil); page != nil {
			plain.WipePage(page)
		}
	}
}

// open gives the current state, or Unavailable while sealed.
func (v *Vault) open() (*state, error) {
	if s := v.state.Load(); s != nil {
		return s, nil
	}
	return nil, errSealed
}

// errSealed is what a sealed vault answers.
var errSealed error = fault.New(fault.Unavailable, "the vault is sealed").
	WithHint("unseal it with its key file or passphrase")
