package api

import (
	"encoding/json"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// SecretValue is a value on its way in. There is no type for the way out.
type SecretValue struct {
	Fields      map[string]Value  `json:"fields"` // token, or username and password, …
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Scope says where it may be used; a new Secret's names at least one origin,
	// like "https://erp.example.com", unless AnyOrigin is true.
	Scope     *vault.Scope `json:"scope,omitempty"`
	AnyOrigin bool         `json:"anyOrigin,omitempty"`
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

// VersionOf names a version.
type VersionOf struct {
	Version int `json:"version"`
}

func (a *API) secrets() {
	handle(a, "GET", "/v1/secrets", "List the Secrets, without values", with(ident.Admin, ident.Builder, ident.Auditor), func(c *call, _ none) (Secrets, error) {
		l, err := a.Vault.List(c.Context(), c.who.Tenant)
		return Secrets{emptied(l)}, err
	})
	handle(a, "GET", "/v1/secrets/{secret}", "Show a Secret, without its value", with(ident.Admin, ident.Builder, ident.Auditor), func(c *call, _ none) (vault.Secret, error) {
		return a.Vault.Show(c.Context(), c.who.Tenant, c.PathValue("secret"))
	})
	handle(a, "PUT", "/v1/secrets/{secret}", "Store a value: a new name's version is active, a known name's is pending", with(ident.Admin), func(c *call, in SecretValue) (vault.Secret, error) {
		return a.Vault.Set(c.Context(), write(c, in))
	})
	handle(a, "POST", "/v1/secrets/{secret}/rotate", "Store a value as the next version and make it the active one", with(ident.Admin), func(c *call, in SecretValue) (vault.Secret, error) {
		return a.Vault.Rotate(c.Context(), write(c, in))
	})
	handle(a, "POST", "/v1/secrets/{secret}/activate", "Make a version the active one", with(ident.Admin), func(c *call, in VersionOf) (vault.Secret, error) {
		return a.Vault.Activate(c.Context(), c.who.Tenant, c.PathValue("secret"), in.Version, c.who)
	})
	handle(a, "POST", "/v1/secrets/{secret}/disable", "End the use of a version", with(ident.Admin), func(c *call, in VersionOf) (vault.Secret, error) {
		return a.Vault.Disable(c.Context(), c.who.Tenant, c.PathValue("secret"), in.Version, c.who)
	})
	handle(a, "DELETE", "/v1/secrets/{secret}", "Destroy every version of a Secret", with(ident.Admin), func(c *call, _ none) (none, error) {
		return none{}, a.Vault.Remove(c.Context(), c.who.Tenant, c.PathValue("secret"), c.who)
	})
}

func write(c *call, in SecretValue) vault.Write {
	w := vault.Write{Tenant: c.who.Tenant, Name: c.PathValue("secret"), Fields: make(map[string][]byte, len(in.Fields)),
		Description: in.Description, Owner: in.Owner, Labels: in.Labels, Scope: in.Scope, AnyOrigin: in.AnyOrigin, Actor: c.who}
	for k, v := range in.Fields {
		w.Fields[k] = v
	}
	return w
}
