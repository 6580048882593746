package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Secret is what is known of a Secret without its values.
type Secret struct {
	ID          string            `json:"id"` // "sec_…"
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"` // for people: whom to ask
	Labels      map[string]string `json:"labels,omitempty"`
	Project     string            `json:"project"`
	Active      int               `json:"active,omitempty"` // 0: no version is
	Versions    []Version         `json:"versions"`         // all that ever were, 1 first
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	Removed     bool              `json:"removed,omitempty"` // a tombstone: its versions are destroyed
	// Quarantined is set where nobody stored the value; see [Vault.Quarantine].
	Quarantined *Quarantined `json:"quarantined,omitempty"`
}

// Version is one version without its values. Its number is never used again.
type Version struct {
	Version   int       `json:"version"`
	State     State     `json:"state"`
	Fields    []string  `json:"fields"` // names, sorted
	Scope     Scope     `json:"scope,omitzero"`
	Term      int       `json:"term"` // of the project key
	Sum       string    `json:"sum"`  // SHA-256 of its ciphertexts
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"` // a principal
	// Pointer says where the value is; nil: in our store.
	Pointer *Pointer `json:"pointer,omitempty"`
	// Rotation is the one that made it, and Ref what the system calls it.
	Rotation string `json:"rotation,omitempty"`
	Ref      string `json:"ref,omitempty"`
}

// State is a version's state.
type State string

// The states. Pending and Previous can be opened by their number only.
const (
	Pending   State = "pending"   // stored, to be tried before it is activated
	Active    State = "active"    // what a reference without a version means
	Previous  State = "previous"  // in its grace after a rotation
	Disabled  State = "disabled"  // opened by nobody; still scrubbed for
	Destroyed State = "destroyed" // its keys are gone, and with them its value
)

// usable reports whether a door may be opened.
func (s State) usable() bool { return s == Pending || s == Active || s == Previous }

// Scope is where a version may be used, beyond what Connections declare; what
// is empty does not narrow. Its hash is in the associated data of the version's
// key: it can't be widened afterwards, by anybody.
type Scope struct {
	Integrations []string          `json:"integrations,omitempty"`
	Origins      []string          `json:"origins,omitempty"`  // "https://host:port"
	Schemes      []resource.Scheme `json:"schemes,omitempty"`  // places of injection
	Methods      []string          `json:"methods,omitempty"`  // of HTTP, upper case
	Missions     []string          `json:"missions,omitempty"` // of the Run that uses it
	NotAfter     time.Time         `json:"notAfter,omitzero"`  // the version's expiry
}

// digest is the SHA-256 of the scope's JSON, in hex.
func (s Scope) digest() (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", fault.New(fault.Internal, "encoding a usage scope")
	}
	return sum(b), nil
}

func sum(parts ...[]byte) string {
	h := sha256.Sum256(bytes.Join(parts, nil))
	return hex.EncodeToString(h[:])
}

// permits says why a use is outside the scope, or nil.
func (s Scope) permits(d DoorSpec, now time.Time) error {
	narrowed := func(what string) error {
		return fault.Newf(fault.Denied, "the secret's usage scope does not include this %s", what).
			WithHint("a scope is part of a version: store a new version with another scope")
	}
	switch {
	case len(s.Integrations) > 0 && !slices.Contains(s.Integrations, d.Integration):
		return narrowed("integration")
	case len(s.Origins) > 0 && !slices.Contains(s.Origins, d.Origin.String()):
		return narrowed("origin")
	case len(s.Origins) > 0 && d.Auth.Scheme.OAuth() && !slices.Contains(s.Origins, originOf(d.Auth.Issuer)):
		return narrowed("issuer") // the client's secret and the refresh token go there
	case len(s.Schemes) > 0 && !slices.Contains(s.Schemes, d.Auth.Scheme):
		return narrowed("place in the request")
	case len(s.Methods) > 0 && !slices.Contains(s.Methods, d.Method):
		return narrowed("method")
	case len(s.Missions) > 0 && !slices.Contains(s.Missions, d.Mission):
		return narrowed("mission")
	case s.Expired(now):
		return fault.New(fault.Denied, "the secret's version has expired").WithHint("rotate it")
	}
	return nil
}

// originOf is a URL's origin as a scope has it; "" of what is none.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	o, err := resource.ParseOrigin(u)
	if err != nil {
		return ""
	}
	return o.String()
}

// Expired reports whether the expiry has passed. A scope without one never does.
func (s Scope) Expired(now time.Time) bool { return !s.NotAfter.IsZero() && now.After(s.NotAfter) }

// ActiveScope is the active version's usage scope; without one it is empty.
func (s Secret) ActiveScope() Scope {
	v, _ := s.version(s.Active)
	return v.Scope
}

// version finds a version by its number.
func (s *Secret) version(n int) (Version, bool) {
	if n < 1 || n > len(s.Versions) {
		return Version{}, false
	}
	return s.Versions[n-1], true
}

// clone copies what a change would change.
func (s Secret) clone() Secret {
	s.Versions, s.Labels = slices.Clone(s.Versions), maps.Clone(s.Labels)
	return s
}

// parseSecret reads a head's stored body, strictly.
func parseSecret(name string, b []byte) (Secret, error) {
	var s Secret
	if err := strict(b, &s); err != nil {
		return Secret{}, err
	}
	bad := fault.New(fault.Denied, "the secret's row contradicts itself")
	if s.Name != name || ident.CheckName(s.Name) != nil || s.ID == "" || len(s.Versions) == 0 || len(s.Versions) > maxVersion {
		return Secret{}, bad
	}
	active := 0
	for i, v := range s.Versions {
		if v.Version != i+1 || s.Removed && v.State != Destroyed {
			return Secret{}, bad
		}
		if v.Pointer != nil && (v.Pointer.check() != nil || !slices.Equal(v.Fields, v.Pointer.names())) {
			return Secret{}, bad
		}
		switch v.State {
		case Active:
			active++
			if v.Version != s.Active {
				return Secret{}, bad
			}
		case Pending, Previous, Disabled, Destroyed:
		default:
			return Secret{}, bad
		}
	}
	if active > 1 || (active == 1) != (s.Active != 0) {
		return Secret{}, bad
	}
	return s, nil
}

// register is the list of a tenant's Secrets with their heads' revisions: what
// a removed row, or an old one that was put back, is compared with. Its own
// revision is the number of changes, which the audit log counts too.
type register struct {
	rev   int64
	Names map[string]int64 `json:"names"`
	Term  int              `json:"term"` // of the project key that new versions are under
}

func parseRegister(r Row) (register, error) {
	reg := register{rev: r.Rev}
	if err := strict(r.Body, &reg); err != nil {
		return register{}, err
	}
	return reg, nil
}

// strict decodes one JSON value with known fields only.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
	}
	return fault.New(fault.Denied, "the row can't be read")
}
