package resource

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
)

// Worker is an outside Worker: an agent that is nobody's person and starts Runs
// for itself, of the Missions that list it.
type Worker struct {
	Head `yaml:",inline"`
	// Owner is the account that answers for it. Neither it nor the Worker decides
	// on what the Worker proposes.
	Owner    string `json:"owner" yaml:"owner"`
	Disabled bool   `json:"disabled,omitempty" yaml:"disabled,omitempty"` // it is nobody, until this is taken away
	// Limits are of this Worker, OwnerLimits of all Workers of its owner together.
	Limits      WorkerLimits `json:"limits,omitzero" yaml:"limits,omitempty"`
	OwnerLimits WorkerLimits `json:"ownerLimits,omitzero" yaml:"ownerLimits,omitempty"`
	// JWT lets it authenticate with tokens of an issuer, besides the ones that
	// are minted here.
	JWT *WorkerJWT `json:"jwt,omitempty" yaml:"jwt,omitempty"`
}

// WorkerLimits bound what outside Workers take. Zero means the default.
type WorkerLimits struct {
	OpenRuns     int `json:"openRuns,omitempty" yaml:"openRuns,omitempty"`
	CallsPerHour int `json:"callsPerHour,omitempty" yaml:"callsPerHour,omitempty"`
	Parked       int `json:"parked,omitempty" yaml:"parked,omitempty"` // Intents that wait at once
}

// The limits where nothing is said.
var (
	DefaultWorkerLimits  = WorkerLimits{OpenRuns: 5, CallsPerHour: 1200, Parked: 20}
	DefaultOwnerLimits   = WorkerLimits{OpenRuns: 20, CallsPerHour: 6000, Parked: 60}
	DefaultMissionLimits = WorkerLimits{OpenRuns: 50, CallsPerHour: 12_000, Parked: 100}
)

// Or is l with the defaults where it says nothing.
func (l WorkerLimits) Or(def WorkerLimits) WorkerLimits {
	or := func(v, d int) int {
		if v == 0 {
			return d
		}
		return v
	}
	return WorkerLimits{or(l.OpenRuns, def.OpenRuns), or(l.CallsPerHour, def.CallsPerHour), or(l.Parked, def.Parked)}
}

// WorkerJWT says which tokens of which issuer stand for a Worker. Subject and
// every one of Claims have to be in the token as they are here.
type WorkerJWT struct {
	Issuer  string            `json:"issuer" yaml:"issuer"`                       // the claim iss, byte for byte
	Subject string            `json:"subject,omitempty" yaml:"subject,omitempty"` // the claim sub
	Claims  map[string]string `json:"claims,omitempty" yaml:"claims,omitempty"`   // such as client_id
	// Audience is what aud has to name; empty: the server's public URL and "/mcp".
	Audience string `json:"audience,omitempty" yaml:"audience,omitempty"`
	// JWKS is the issuer's keys, where it can't be asked for them. In YAML it is a
	// file's path, relative to the resource's file, which package config reads.
	JWKS     json.RawMessage `json:"jwks,omitempty" yaml:"-"`
	JWKSFile string          `json:"jwksFile,omitempty" yaml:"jwksFile"`
	Network  Network         `json:"network,omitzero" yaml:"network,omitempty"` // how the issuer may be reached
}

const (
	maxClaims = 20
	maxClaim  = 500
	maxJWKS   = 256 << 10
)

// judged are the claims that say for whom, by whom and how long: no list of a
// resource's can replace what is checked of them.
var judged = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// Check is of kind Invalid; see [Resource]. Whether the keys of a JWKS are of any
// use is package issuer's question.
func (w *Worker) Check() error {
	var c checker
	c.head(w.Head, KindWorker)
	c.add("owner", checkAccount(w.Owner))
	c.workerLimits("limits", w.Limits)
	c.workerLimits("ownerLimits", w.OwnerLimits)
	if w.JWT != nil {
		c.jwt(w.JWT)
	}
	plain := *w
	if w.JWT != nil { // a subject and a client's id are random, and no secrets
		j := *w.JWT
		j.Subject, j.Claims = "", nil
		plain.JWT = &j
	}
	c.secrets(&plain)
	return c.err()
}

func (c *checker) workerLimits(path string, l WorkerLimits) {
	c.between(path+".openRuns", int64(l.OpenRuns), 1000)
	c.between(path+".callsPerHour", int64(l.CallsPerHour), 1_000_000)
	c.between(path+".parked", int64(l.Parked), 1000)
}

func (c *checker) jwt(j *WorkerJWT) {
	u, err := url.Parse(j.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && j.Network.AllowLoopbackHTTP) ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(j.Issuer, "#") || len(j.Issuer) > maxClaim {
		c.hint("jwt.issuer", "write it as the tokens' iss has it, like https://login.example.com/realms/agents", "%q is not an issuer's address", fault.Quote(j.Issuer))
	}
	if j.Subject == "" && j.Claims["client_id"] == "" {
		c.hint("jwt.subject", "every token of an issuer would be this Worker", "name the subject, or the claim client_id")
	}
	c.network("jwt.network", j.Network)
	c.claim("jwt.subject", j.Subject)
	c.text("jwt.audience", j.Audience, maxClaim)
	if len(j.Claims) > maxClaims {
		c.addf("jwt.claims", "has more than %d entries", maxClaims)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(j.Claims)) {
		if name == "" || len(name) > 100 || slices.Contains(judged, name) {
			c.addf("jwt.claims", "%q can't be asked for here", fault.Quote(name))
		}
		if j.Claims[name] == "" {
			c.addf("jwt.claims."+fault.Quote(name), "is empty")
		}
		c.claim("jwt.claims."+fault.Quote(name), j.Claims[name])
	}
	if len(j.JWKS) > maxJWKS {
		c.addf("jwt.jwksFile", "is larger than %d KiB", maxJWKS>>10)
	}
	if j.JWKSFile != "" && len(j.JWKS) == 0 {
		c.addf("jwt.jwksFile", "has no keys")
	}
}

// claim checks the value that a claim has to have.
func (c *checker) claim(path, s string) {
	c.text(path, s, maxClaim)
	if HasSecretShape(s) {
		c.secret(path)
	}
}
