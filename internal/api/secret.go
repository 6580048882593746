package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// SecretValue is a value on its way in. There is no type for the way out.
type SecretValue struct {
	// Either Fields (token, or username and password, …) or Sealed: the fields
	// encrypted to the key of GET /v1/intake-key; see internal/intake.
	Fields      map[string]Value  `json:"fields,omitempty"`
	Sealed      []byte            `json:"sealed,omitempty"`
	Pointer     *vault.Pointer    `json:"pointer,omitempty"` // in place of a value: where it is
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Scope says where it may be used; a new Secret's names at least one origin,
	// like "https://erp.example.com", unless AnyOrigin is true.
	// Without Scope a version may be used where the one before it may.
	Scope     *vault.Scope `json:"scope,omitempty"`
	AnyOrigin bool         `json:"anyOrigin,omitempty"`
	// AlthoughRecorded stores a value that stands in recorded traffic, which is
	// refused otherwise.
	AlthoughRecorded bool      `json:"althoughRecorded,omitempty"`
	Expires          time.Time `json:"expires,omitzero"` // of this version
}

// Value is a Secret's field as it is taken in: bytes that can be wiped, and that
// print as nothing.
type Value []byte

// UnmarshalJSON takes a JSON string.
func (v *Value) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fault.New(fault.Invalid, "a secret's field is not a string")
	}
	*v = Value(s)
	return nil
}

// MarshalJSON refuses: a value goes one way.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }

// String keeps a value out of logs and errors.
func (Value) String() string { return "[secret]" }

// GoString does so for %#v.
func (Value) GoString() string { return "[secret]" }

// Secrets is a list of Secrets without their values.
type Secrets struct {
	Secrets []vault.Secret `json:"secrets"`
}

// SecretShown is what is known of one Secret.
type SecretShown struct {
	vault.Secret
	Connections []string `json:"connections"` // that refer to it
	// Dynamic are the versions whose value a backend makes anew for each Run.
	Dynamic []int `json:"dynamic,omitempty"`
}

// Leases are credentials that backends have made for Runs, without values.
type Leases struct {
	Leases []vault.Lease `json:"leases"`
}

// VersionOf names a version.
type VersionOf struct {
	Version int `json:"version"`
}

// Rollback says which version the caller expects to go back to; 0: whichever.
type Rollback struct {
	Version int `json:"version,omitempty"`
}

// readsSecrets may see what is known of Secrets, without values.
var readsSecrets = with(ident.Admin, ident.Builder, ident.Auditor)

func (a *API) secrets() {
	handle(a, "GET", "/v1/secrets", "List the Secrets, without values; ?label= (NAME or NAME=VALUE, may be repeated)", readsSecrets, func(c *call, _ none) (Secrets, error) {
		l, err := a.Vault.List(c.Context(), c.who.Tenant)
		return Secrets{emptied(labelled(l, c.URL.Query()["label"]))}, err
	})
	handle(a, "GET", "/v1/secrets/{secret}", "Show a Secret, without its value", readsSecrets, func(c *call, _ none) (out SecretShown, err error) {
		if out.Secret, err = a.Vault.Show(c.Context(), c.who.Tenant, c.PathValue("secret")); err != nil {
			return out, err
		}
		w, err := a.Gate.World(c.who.Tenant)
		if err != nil {
			return out, err // not to know who uses it is not the same as nobody
		}
		out.Connections = emptied(w.Catalog.Uses(out.Name))
		for _, ver := range out.Versions {
			if a.Vault.Dynamic(ver) {
				out.Dynamic = append(out.Dynamic, ver.Version)
			}
		}
		return out, nil
	})
	handle(a, "GET", "/v1/secrets/{secret}/leases", "List what a backend has made of a Secret for Runs and has not ended yet, without values", readsSecrets, func(c *call, _ none) (Leases, error) {
		if _, err := a.Vault.Show(c.Context(), c.who.Tenant, c.PathValue("secret")); err != nil {
			return Leases{}, err
		}
		l, err := a.Vault.Leases(c.Context(), c.who.Tenant, c.PathValue("secret"))
		return Leases{emptied(l)}, err
	})
	handle(a, "GET", "/v1/intake-key", "Get the key to encrypt a Secret's value to, good for one value", with(ident.Admin), func(c *call, _ none) (intake.Key, error) {
		return a.Vault.IntakeKey(c.who.Tenant, c.who)
	})
	handle(a, "PUT", "/v1/secrets/{secret}", "Store a value: a new name's version is active, a known name's is pending", with(ident.Admin), func(c *call, in SecretValue) (vault.Secret, error) {
		return a.Vault.Set(c.Context(), write(c, in))
	})
	handle(a, "POST", "/v1/secrets/{secret}/rotate", "Store a value as the next version and make it the active one", with(ident.Admin), func(c *call, in SecretValue) (vault.Secret, error) {
		return a.Vault.Rotate(c.Context(), write(c, in))
	})
	handle(a, "PATCH", "/v1/secrets/{secret}", "Change a Secret's description, owner or labels", with(ident.Admin), func(c *call, in vault.Edit) (vault.Secret, error) {
		return a.Vault.Describe(c.Context(), c.who.Tenant, c.PathValue("secret"), in, c.who)
	})
	a.secretVersions()
}

// SecretMove says where a Secret's value is to be from now on.
type SecretMove struct {
	To *vault.Pointer `json:"to,omitempty"` // left out: our own store
	Fresh
}

// move takes a fresh factor: whose session was taken could otherwise lead every use
// of a Secret to another value.
func (a *API) move(c *call, in SecretMove) (out vault.Secret, err error) {
	name := c.PathValue("secret")
	if _, err := a.Vault.Show(c.Context(), c.who.Tenant, name); err != nil {
		return out, err // before a one-time code is spent
	}
	if in.Password == "" || in.Code == "" {
		return out, fault.New(fault.Denied, "moving a Secret takes the password and a one-time code")
	}
	act := map[string]any{"act": "secret.move", "tenant": string(c.who.Tenant), "account": c.who.ID, "secret": name, "to": "store"}
	if p := in.To; p != nil {
		act["to"], act["path"], act["version"], act["staleness"] = p.Backend, p.Path, p.Version, p.Staleness.D(0).String()
		for ours, theirs := range p.Fields {
			act["field "+ours] = theirs
		}
	}
	b, err := intent.Marshal(act)
	if err != nil {
		return out, fault.New(fault.Invalid, "the move can't be described")
	}
	sum := sha256.Sum256(append([]byte("sallyport move of a secret v1\n"), b...))
	f, err := a.Directory.Authorize(c.Context(), c.who, in.Password, in.Code, intent.Digest(hex.EncodeToString(sum[:])), a.Now())
	if err != nil {
		return out, err
	}
	return a.Vault.Move(c.Context(), vault.Move{Tenant: c.who.Tenant, Name: name, To: in.To, Actor: c.who, Method: f.Method})
}

func (a *API) secretVersions() {
	handle(a, "POST", "/v1/secrets/{secret}/move", "Put a Secret's value into a backend, or back, with password and one-time code", with(ident.Admin), a.move)
	handle(a, "POST", "/v1/secrets/{secret}/activate", "Make a version the active one", with(ident.Admin), func(c *call, in VersionOf) (vault.Secret, error) {
		return a.Vault.Activate(c.Context(), c.who.Tenant, c.PathValue("secret"), in.Version, c.who)
	})
	handle(a, "POST", "/v1/secrets/{secret}/rollback", "Make the version before the active one the active one again", with(ident.Admin), func(c *call, in Rollback) (vault.Secret, error) {
		return a.Vault.Rollback(c.Context(), c.who.Tenant, c.PathValue("secret"), in.Version, c.who)
	})
	handle(a, "POST", "/v1/secrets/{secret}/disable", "End the use of a version", with(ident.Admin), func(c *call, in VersionOf) (vault.Secret, error) {
		return a.Vault.Disable(c.Context(), c.who.Tenant, c.PathValue("secret"), in.Version, c.who)
	})
	handle(a, "DELETE", "/v1/secrets/{secret}/versions/{version}", "Destroy one version of a Secret", with(ident.Admin), func(c *call, _ none) (vault.Secret, error) {
		n, err := strconv.Atoi(c.PathValue("version"))
		if err != nil {
			return vault.Secret{}, fault.New(fault.Invalid, "the version is not a number")
		}
		return a.Vault.Destroy(c.Context(), c.who.Tenant, c.PathValue("secret"), n, c.who)
	})
	handle(a, "DELETE", "/v1/secrets/{secret}", "Destroy every version of a Secret", with(ident.Admin), func(c *call, _ none) (none, error) {
		return none{}, a.Vault.Remove(c.Context(), c.who.Tenant, c.PathValue("secret"), c.who)
	})
}

// labelled keeps the Secrets that have every label that is asked for. One that is
// refused has lost its labels, and is always there.
func labelled(in []vault.Secret, labels []string) []vault.Secret {
	var out []vault.Secret
	for _, s := range in {
		if len(s.Versions) == 0 || hasAll(s, labels) {
			out = append(out, s)
		}
	}
	return out
}

func hasAll(s vault.Secret, labels []string) bool {
	for _, l := range labels {
		name, value, exact := strings.Cut(l, "=")
		if got, ok := s.Labels[name]; !ok || exact && got != value {
			return false
		}
	}
	return true
}

func write(c *call, in SecretValue) vault.Write {
	w := vault.Write{Tenant: c.who.Tenant, Name: c.PathValue("secret"), Fields: make(map[string][]byte, len(in.Fields)), Sealed: in.Sealed, Pointer: in.Pointer,
		Description: in.Description, Owner: in.Owner, Labels: in.Labels, Scope: in.Scope, AnyOrigin: in.AnyOrigin,
		AlthoughRecorded: in.AlthoughRecorded, Expires: in.Expires, Actor: c.who}
	for k, v := range in.Fields {
		w.Fields[k] = v
	}
	return w
}
