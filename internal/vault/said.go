package vault

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/ident"
)

// What systems say of themselves about what a version may do: the scope of an OAuth
// token, the scopes in an answer's header, the rights of a database's user. It is
// kept in memory alone, for whoever looks after Secrets; nothing is decided by it,
// and a system may lie.

// SaidBy is where a system said it.
type SaidBy string

// The places.
const (
	SaidToken  SaidBy = "token"  // the answer that an access token came in
	SaidHeader SaidBy = "header" // X-OAuth-Scopes of an answer
	SaidRole   SaidBy = "role"   // a database, when a rotation tried the version
)

// Said is what a system said of one version, in its own words: plain ones, none of
// them known to be secret.
type Said struct {
	Version int
	By      SaidBy
	Words   []string // in order, each once
	Asked   []string // of a token: the scopes that were asked for
	At      time.Time
}

// The bounds of what is kept: a system says what it likes.
const (
	maxSaidOf    = 4096 // Secrets; then nothing of others is kept
	maxSaidWords = 20
	maxSaidWord  = 64 // bytes
	scopesHeader = "X-OAuth-Scopes"
)

// hearsay keeps it. Its zero value is ready.
type hearsay struct {
	mu sync.Mutex
	m  map[saidOf]map[SaidBy]Said
}

type saidOf struct {
	tenant ident.Tenant
	secret string
}

// Said gives what systems said of a Secret's version.
func (v *Vault) Said(t ident.Tenant, name string, version int) (out []Said) {
	v.hearsay.mu.Lock()
	defer v.hearsay.mu.Unlock()
	for _, s := range v.hearsay.m[saidOf{t, name}] {
		if s.Version == version {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Said) int { return cmp.Compare(a.By, b.By) })
	return out
}

// heard keeps what a system said; words that it can't have meant as a scope or a
// right are left out, and so is what is known to be secret.
func (v *Vault) heard(t ident.Tenant, name string, s Said) {
	seen := v.Scrub(t)
	ours := s.Words[:0:0]
	for _, w := range s.Words {
		if len(ours) < maxSaidWords && plainWord(w) && len(seen.Contains([]byte(w))) == 0 {
			ours = append(ours, w)
		}
	}
	slices.Sort(ours)
	s.Words = slices.Compact(ours)
	key := saidOf{t, name}
	v.hearsay.mu.Lock()
	defer v.hearsay.mu.Unlock()
	if v.hearsay.m == nil {
		v.hearsay.m = map[saidOf]map[SaidBy]Said{}
	}
	of := v.hearsay.m[key]
	if of == nil {
		if len(v.hearsay.m) >= maxSaidOf {
			return
		}
		of = map[SaidBy]Said{}
		v.hearsay.m[key] = of
	}
	if s.Version < of[s.By].Version {
		return // an old version's last call
	}
	s.At = v.cfg.Now()
	of[s.By] = s
}

// plainWord says whether a word is one as scopes and rights are: no value is let pass
// that has more to it.
func plainWord(w string) bool {
	return w != "" && len(w) <= maxSaidWord && !strings.ContainsFunc(w, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_:./-* ", r)
	})
}

// scopeDoor hears what an answer's header says of the credential's scopes.
type scopeDoor struct {
	http.RoundTripper
	hear func(words []string)
}

// RoundTrip is the door's.
func (d *scopeDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err == nil && len(resp.Header.Values(scopesHeader)) == 1 {
		d.hear(strings.FieldsFunc(resp.Header.Get(scopesHeader), func(r rune) bool { return r == ',' || r == ' ' }))
	}
	return resp, err
}
