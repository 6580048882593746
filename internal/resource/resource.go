// Package resource has the words of configuration: Integration, Connection,
// Worker, Mission, Policy, Channel and Team, as people write them in YAML and as the API shows
// them. They are plain values: no behaviour but checking themselves.
//
// It refuses a Secret's value anywhere: a resource names a Secret, and package
// config scans what is applied for anything that looks like one.
//
// Strict decoding with file and line, variables, and references between
// resources are package config's; what the catalogue makes of them is package
// catalog's.
package resource

import (
	"encoding/json"
	"time"
)

// APIVersion is the only version that is understood.
const APIVersion = "sallyport.dev/v1"

// Kind is a resource's kind.
type Kind string

// The kinds, in the order in which they are applied: what is referred to first.
const (
	KindTeam        Kind = "Team"
	KindIntegration Kind = "Integration"
	KindConnection  Kind = "Connection"
	KindMission     Kind = "Mission"
	KindPolicy      Kind = "Policy"
	KindChannel     Kind = "Channel"
	KindWorker      Kind = "Worker"
)

// Kinds lists the kinds in that order.
var Kinds = []Kind{KindTeam, KindIntegration, KindConnection, KindWorker, KindMission, KindPolicy, KindChannel}

// Head is what every resource begins with.
type Head struct {
	APIVersion  string `json:"apiVersion" yaml:"apiVersion"`
	Kind        Kind   `json:"kind" yaml:"kind"`
	Name        string `json:"name" yaml:"name"`
	Title       string `json:"title,omitempty" yaml:"title,omitempty"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
}

// Resource is one of *Team, *Integration, *Connection, *Worker, *Mission, *Policy, *Channel.
type Resource interface {
	Header() Head
	// Check says what is wrong with the resource by itself; kind Invalid.
	Check() error
}

// Header gives the head.
func (h Head) Header() Head { return h }

// Effect is what a Tool does to its system.
type Effect string

// The effects. What is not known to be a read is a write.
const (
	Read  Effect = "read"
	Write Effect = "write"
)

// Team is people who may decide. Its ID is given by the server when it is
// first applied and never changes; Members are account names.
type Team struct {
	Head    `yaml:",inline"`
	Members []string `json:"members" yaml:"members"`
}

// Integration is a system that Workers can act on. Exactly one of HTTP, Model
// and MCP is set.
type Integration struct {
	Head  `yaml:",inline"`
	HTTP  *HTTP  `json:"http,omitempty" yaml:"http,omitempty"`
	Model *Model `json:"model,omitempty" yaml:"model,omitempty"`
	MCP   *MCP   `json:"mcp,omitempty" yaml:"mcp,omitempty"`
}

// Network says how a system may be reached beyond the default: TLS, public
// addresses only.
type Network struct {
	// AllowLoopbackHTTP permits plain HTTP, and only to a loopback address.
	AllowLoopbackHTTP bool `json:"allowLoopbackHTTP,omitempty" yaml:"allowLoopbackHTTP,omitempty"`
	// AllowPrivate lists address ranges in CIDR form, beyond public ones, that
	// the host may resolve to.
	AllowPrivate []string `json:"allowPrivate,omitempty" yaml:"allowPrivate,omitempty"`
}

// HTTP describes a system by an OpenAPI document.
type HTTP struct {
	BaseURL string `json:"baseURL" yaml:"baseURL"`
	// OpenAPI is the document itself, as JSON. In YAML it is a file's path,
	// relative to the resource's file, which package config reads.
	OpenAPI json.RawMessage `json:"openapi" yaml:"-"`
	// OpenAPIFile is where the document came from.
	OpenAPIFile string              `json:"openapiFile,omitempty" yaml:"openapi"`
	Network     Network             `json:"network,omitzero" yaml:"network,omitempty"`
	Tools       map[string]ToolRule `json:"tools,omitempty" yaml:"tools,omitempty"`     // by operationId
	Timeout     Duration            `json:"timeout,omitzero" yaml:"timeout,omitempty"`  // of one call, default 30s
	MaxBody     int64               `json:"maxBody,omitempty" yaml:"maxBody,omitempty"` // bytes of an answer, default 1 MiB
}

// Rules are what it says about its Tools, by name, and where that stands in it.
func (i *Integration) Rules() (path string, rules map[string]ToolRule) {
	switch {
	case i.HTTP != nil:
		return "http.tools", i.HTTP.Tools
	case i.MCP != nil:
		return "mcp.tools", i.MCP.Tools
	}
	return "", nil
}

// ToolRule says what the OpenAPI document, or an MCP server's definition, can't
// about one operation.
type ToolRule struct {
	// Effect overrides the default: GET and HEAD are reads, all else writes. Every
	// tool of an MCP server is a write until this says read.
	Effect Effect `json:"effect,omitempty" yaml:"effect,omitempty"`
	// ReferenceHeader names a header in which the Boundary sends the Intent's
	// id with a write, so that Lookup can find what it made.
	ReferenceHeader string `json:"referenceHeader,omitempty" yaml:"referenceHeader,omitempty"`
	// ReferenceArgument is the same for a tool of an MCP server: a top-level argument
	// of it that the Boundary fills in, and that Workers are not offered.
	ReferenceArgument string  `json:"referenceArgument,omitempty" yaml:"referenceArgument,omitempty"`
	Lookup            *Lookup `json:"lookup,omitempty" yaml:"lookup,omitempty"`
	// Idempotency is the operator's word that the system carries out a write once,
	// however often it comes under the same key.
	Idempotency *Idempotency `json:"idempotency,omitempty" yaml:"idempotency,omitempty"`
	// NotSecret are places in the answer whose values look like secrets and are
	// none, such as a cursor: JSON pointers (RFC 6901) in which "*" stands for any
	// name or index. Known Secrets are taken out there as everywhere.
	NotSecret []string `json:"notSecret,omitempty" yaml:"notSecret,omitempty"`
	// Record says where the name of the record stands that a call is about, so that
	// the audit log can be asked for it: "/vendorId" is a JSON pointer into the
	// arguments, "answer:/id" one into the answer. The name is then in the log for
	// ever, unless RecordPrivate puts a keyed hash in its place.
	Record        string `json:"record,omitempty" yaml:"record,omitempty"`
	RecordPrivate bool   `json:"recordPrivate,omitempty" yaml:"recordPrivate,omitempty"`
	// Errors is the operator's word on an MCP tool: [Definite] says that a result
	// that is an error means that nothing was applied. Unless said, the outcome of
	// such a write is unknown.
	Errors string `json:"errors,omitempty" yaml:"errors,omitempty"`
}

// InAnswer begins a Record that stands in the answer.
const InAnswer = "answer:"

// Lookup is how the Boundary asks a system whether a write whose outcome is
// unknown was applied.
type Lookup struct {
	Connection string         `json:"connection" yaml:"connection"` // holds Tool; same Integration
	Tool       string         `json:"tool" yaml:"tool"`             // a read
	Args       map[string]any `json:"args" yaml:"args"`             // the string "$reference" stands for the Intent's id
	// Found is a JSON pointer (RFC 6901) into the answer: present and neither
	// null nor an empty array means that the write was applied.
	Found string `json:"found" yaml:"found"`
	// Settle is how long after the request the system may still apply it;
	// "absent" counts only after that. Default 30s.
	Settle Duration `json:"settle,omitzero" yaml:"settle,omitempty"`
}

// Idempotency declares a provider's idempotency keys. A wrong declaration is a
// second write: it says what the system does, not what is hoped for.
type Idempotency struct {
	// Header carries the key, which is made of the Intent and stays the same.
	Header string `json:"header" yaml:"header"`
	// Window is how long the system knows a key, from the first request on. Only
	// within it, and some way before its end, is a request sent again. At least a
	// minute, at most 30 days.
	Window Duration `json:"window" yaml:"window"`
	// Semantics is what it answers to a key that it knows.
	Semantics Semantics `json:"semantics" yaml:"semantics"`
	// Status is that of Rejects: 4xx, and used for nothing else by this operation.
	Status int `json:"status,omitempty" yaml:"status,omitempty"`
}

// Semantics is what a system answers to the same request under the same key.
type Semantics string

// The semantics.
const (
	Replays Semantics = "replays" // the answer of the first time
	Rejects Semantics = "rejects" // a status that says: carried out before
)

// Model is a chat-completion endpoint. Its one Tool is "complete", a read.
type Model struct {
	Provider  string  `json:"provider" yaml:"provider"` // "openai" (any compatible server) or "anthropic"
	BaseURL   string  `json:"baseURL,omitempty" yaml:"baseURL,omitempty"`
	Model     string  `json:"model" yaml:"model"`
	MaxTokens int     `json:"maxTokens,omitempty" yaml:"maxTokens,omitempty"` // of one completion, default 4096
	Network   Network `json:"network,omitzero" yaml:"network,omitempty"`
	// Prices in US dollars for a million tokens, for the cost limit.
	InputPrice  float64  `json:"inputPrice,omitempty" yaml:"inputPrice,omitempty"`
	OutputPrice float64  `json:"outputPrice,omitempty" yaml:"outputPrice,omitempty"`
	Scripted    bool     `json:"scripted,omitempty" yaml:"scripted,omitempty"` // a stand-in without a language model; shown to people
	Timeout     Duration `json:"timeout,omitzero" yaml:"timeout,omitempty"`    // of one completion, default 120s
}

// Scheme is how a credential is put into a request.
type Scheme string

// The schemes.
const (
	SchemeBearer Scheme = "bearer" // Authorization: Bearer FIELD
	SchemeBasic  Scheme = "basic"  // Authorization: Basic, fields username and password
	SchemeHeader Scheme = "header" // NAME: FIELD
	SchemeQuery  Scheme = "query"  // ?NAME=FIELD

	SchemeNone Scheme = "none" // nothing is put in: an MCP server that asks for nothing

	// Of an MCP server that is a child process: when it is started.
	SchemeEnv  Scheme = "env"  // the environment variable NAME has FIELD
	SchemeFile Scheme = "file" // the variable NAME has the path of an open descriptor with FIELD

	// Of an MCP server at a URL: a bearer token that the vault gets for itself.
	SchemeOAuthClient Scheme = "oauth-client" // OAuth client credentials, fields client_id and client_secret
	SchemeOAuthUser   Scheme = "oauth-user"   // OAuth by a person: fields client_id, optionally client_secret; the vault adds the tokens

	// These are a Channel's, and no Connection's.
	SchemeSignature Scheme = "signature" // signs a webhook's message
	SchemeAddress   Scheme = "address"   // is the whole URL
	SchemeLogin     Scheme = "login"     // signs in to a mail server
)

// OAuth says whether the credential is a token of an issuer.
func (s Scheme) OAuth() bool { return s == SchemeOAuthClient || s == SchemeOAuthUser }

// Auth is a Connection's one scoped credential: the scheme and the reference.
type Auth struct {
	Scheme Scheme `json:"scheme" yaml:"scheme"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty"` // header, query parameter or variable
	// Secret is "NAME" (the active version at call time) or "NAME@vN"; empty with
	// the scheme none alone.
	Secret string `json:"secret,omitempty" yaml:"secret,omitempty"`
	Field  string `json:"field,omitempty" yaml:"field,omitempty"` // default "token"
	// Variables are of the scheme env, in place of a name and a field: which variable
	// has which field.
	Variables map[string]string `json:"variables,omitempty" yaml:"variables,omitempty"`
	// Issuer is the authorization server that the OAuth schemes are pinned to;
	// see RFC 8414. Scope is what is asked of it: words with one space between.
	Issuer string `json:"issuer,omitempty" yaml:"issuer,omitempty"`
	Scope  string `json:"scope,omitempty" yaml:"scope,omitempty"`
}

// Connection is an Integration, one credential, and the Tools it may be used
// for.
type Connection struct {
	Head        `yaml:",inline"`
	Integration string   `json:"integration" yaml:"integration"`
	Tools       []string `json:"tools" yaml:"tools"` // operationIds; "complete" of a model; names of an MCP server's
	Auth        Auth     `json:"auth" yaml:"auth"`
}

// Mission is a definition: the goal in words, its form, its Connections, which
// actions need a Decision and from whom, and its limits.
type Mission struct {
	Head              `yaml:",inline"`
	Goal              string         `json:"goal" yaml:"goal"`
	Form              []Field        `json:"form,omitempty" yaml:"form,omitempty"`
	Model             string         `json:"model,omitempty" yaml:"model,omitempty"` // a Connection to a model; empty: outside Workers only
	Connections       []string       `json:"connections" yaml:"connections"`
	Decisions         []DecisionRule `json:"decisions,omitempty" yaml:"decisions,omitempty"`
	AllowSelfApproval bool           `json:"allow_self_approval,omitempty" yaml:"allow_self_approval,omitempty"`
	Limits            Limits         `json:"limits,omitzero" yaml:"limits,omitempty"`
	Schedule          []Schedule     `json:"schedule,omitempty" yaml:"schedule,omitempty"`
	// Starters are the Teams whose members may start it; empty: every requester.
	Starters []string `json:"starters,omitempty" yaml:"starters,omitempty"`
	// Workers are the outside Workers that may start it for themselves, and
	// WorkerLimits what all of them may take of it together.
	Workers      []string     `json:"workers,omitempty" yaml:"workers,omitempty"`
	WorkerLimits WorkerLimits `json:"workerLimits,omitzero" yaml:"workerLimits,omitempty"`
	// Retention says how long what its Runs said is kept.
	Retention Retention `json:"retention,omitzero" yaml:"retention,omitempty"`
}

// Retention is for how long the bodies of Runs are kept: arguments, answers,
// transcripts, what the rail shows. Where the server has a setting too, the shorter
// one counts.
type Retention struct {
	Days int `json:"days,omitempty" yaml:"days,omitempty"` // after the end of a Run; 0: as the server says
}

// Field is one field of a Mission's form.
type Field struct {
	Name     string   `json:"name" yaml:"name"`
	Label    string   `json:"label,omitempty" yaml:"label,omitempty"`
	Help     string   `json:"help,omitempty" yaml:"help,omitempty"`
	Type     string   `json:"type,omitempty" yaml:"type,omitempty"` // text (default), textarea, number, select, email, date
	Required bool     `json:"required,omitempty" yaml:"required,omitempty"`
	Options  []string `json:"options,omitempty" yaml:"options,omitempty"`     // of a select
	Pattern  string   `json:"pattern,omitempty" yaml:"pattern,omitempty"`     // RE2, whole value
	MaxLen   int      `json:"maxLength,omitempty" yaml:"maxLength,omitempty"` // runes, default 500
}

// DecisionRule names who decides on an action that policy asks about.
type DecisionRule struct {
	Connection string   `json:"connection" yaml:"connection"`
	Tool       string   `json:"tool,omitempty" yaml:"tool,omitempty"` // empty: every Tool of the Connection
	Team       string   `json:"team" yaml:"team"`
	Count      int      `json:"count,omitempty" yaml:"count,omitempty"`    // how many different people of the Team, default 1, at most 20
	Expires    Duration `json:"expires,omitzero" yaml:"expires,omitempty"` // default 7 days, at most 30
	// PinSecret binds the approval to the Secret's version at the time of the
	// proposal: a rotation in between voids it.
	PinSecret bool `json:"pinSecret,omitempty" yaml:"pinSecret,omitempty"`
}

// Limits end a Run that goes on too long. Zero means the default.
type Limits struct {
	Turns     int      `json:"turns,omitempty" yaml:"turns,omitempty"`        // model calls, default 30
	Tokens    int64    `json:"tokens,omitempty" yaml:"tokens,omitempty"`      // in and out, default 200000
	CostUSD   float64  `json:"costUSD,omitempty" yaml:"costUSD,omitempty"`    // default: no limit
	WallClock Duration `json:"wallClock,omitzero" yaml:"wallClock,omitempty"` // from start, default 30 days
	Calls     int      `json:"calls,omitempty" yaml:"calls,omitempty"`        // Intents of one Run, completions included, default 1000
	Parked    int      `json:"parked,omitempty" yaml:"parked,omitempty"`      // Intents of one Run waiting at once, default 20
}

// Schedule starts a Run at times of a cron expression of five fields, in UTC.
type Schedule struct {
	Cron  string         `json:"cron" yaml:"cron"`
	Input map[string]any `json:"input,omitempty" yaml:"input,omitempty"`
}

// Policy is Cedar text. Integration limits it to one Integration's Tools.
type Policy struct {
	Head        `yaml:",inline"`
	Integration string `json:"integration,omitempty" yaml:"integration,omitempty"`
	Cedar       string `json:"cedar" yaml:"cedar"`
}

// Duration is a time.Duration written as "30s" or "168h".
type Duration time.Duration

// D is the standard library's type, with a default for zero.
func (d Duration) D(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

// MarshalText writes "1h0m0s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
