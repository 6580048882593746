package resource

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// MCP is a server that speaks the Model Context Protocol: at a URL, or as a child
// process. Exactly one of URL and Stdio is set.
type MCP struct {
	// URL is the one endpoint of the streamable HTTP transport.
	URL     string  `json:"url,omitempty" yaml:"url,omitempty"`
	Stdio   *Stdio  `json:"stdio,omitempty" yaml:"stdio,omitempty"`
	Network Network `json:"network,omitzero" yaml:"network,omitempty"`
	// Definitions are the pinned definitions of the server's tools, as JSON; see
	// package connector/mcp. In YAML it is a file's path, relative to the
	// resource's file, which package config reads. Without it there are no Tools:
	// the definitions are still to be pulled.
	Definitions json.RawMessage `json:"definitions,omitempty" yaml:"-"`
	// DefinitionsFile is where the document came from.
	DefinitionsFile string              `json:"definitionsFile,omitempty" yaml:"definitions,omitempty"`
	Tools           map[string]ToolRule `json:"tools,omitempty" yaml:"tools,omitempty"`     // by our name of the tool
	Timeout         Duration            `json:"timeout,omitzero" yaml:"timeout,omitempty"`  // of one call, default 60s
	MaxBody         int64               `json:"maxBody,omitempty" yaml:"maxBody,omitempty"` // bytes of an answer, default 4 MiB
}

// Stdio is a server that runs as a child of ours and speaks over its standard
// input and output.
type Stdio struct {
	Command []string          `json:"command" yaml:"command"`                     // the program's absolute path, then its arguments
	Dir     string            `json:"dir,omitempty" yaml:"dir,omitempty"`         // where it runs; an empty directory of its own unless said
	Env     map[string]string `json:"env,omitempty" yaml:"env,omitempty"`         // all of its environment, nothing secret
	Read    []string          `json:"read,omitempty" yaml:"read,omitempty"`       // paths that it may read, where the kernel can hold it to them
	Write   []string          `json:"write,omitempty" yaml:"write,omitempty"`     // paths that it may write too
	Network bool              `json:"network,omitempty" yaml:"network,omitempty"` // whether it may open connections
	// Sandbox says what becomes of the child where the kernel can't hold it to Read,
	// Write and Network: required (also where nothing is said), it is not started;
	// best-effort, it runs with what there is.
	Sandbox string `json:"sandbox,omitempty" yaml:"sandbox,omitempty"`
	// Limits; zero means the default.
	Memory    int64 `json:"memory,omitempty" yaml:"memory,omitempty"`       // bytes of private memory of each process, default 1 GiB
	Processes int   `json:"processes,omitempty" yaml:"processes,omitempty"` // default 64
	OpenFiles int   `json:"openFiles,omitempty" yaml:"openFiles,omitempty"` // default 256
}

// What Stdio.Sandbox says.
const (
	SandboxRequired   = "required"
	SandboxBestEffort = "best-effort"
)

// Sandboxed says whether the child runs in a whole sandbox or not at all.
func (s *Stdio) Sandboxed() bool { return s.Sandbox != SandboxBestEffort }

// Definite is what a ToolRule says of errors: a result that is an error means
// that nothing was applied.
const Definite = "definite"

// stdioHost ends the names of pseudo-hosts; RFC 2606 keeps it from ever resolving.
const stdioHost = ".stdio.invalid"

// StdioURL is the pseudo-address of an Integration that is a child process.
// Requests to it go to the child, never to the network.
func StdioURL(integration string) string { return "http://" + integration + stdioHost }

// Stdio says whether it is the origin of a child process.
func (o Origin) Stdio() bool {
	return o.Scheme == "http" && strings.HasSuffix(o.Host, stdioHost+":80")
}

// maxDefinitions bounds a definitions document, in bytes.
const maxDefinitions = 4 << 20

func (c *checker) mcp(m *MCP) {
	switch {
	case m.URL != "" && m.Stdio != nil:
		c.addf("mcp.stdio", "a server is either at a url or a child process, not both")
	case m.URL != "":
		c.baseURL("mcp.url", m.URL, m.Network)
		c.network("mcp.network", m.Network)
	case m.Stdio != nil:
		c.stdio("mcp.stdio", m.Stdio)
		if m.Network.AllowLoopbackHTTP || len(m.Network.AllowPrivate) > 0 {
			c.hint("mcp.network", "stdio.network says whether the child may open connections", "a child process is not reached over the network")
		}
	default:
		c.hint("mcp", "write url: with the server's endpoint, or stdio: with its command", "it does not say where the server is")
	}
	switch {
	case len(m.Definitions) > maxDefinitions:
		c.addf("mcp.definitions", "the document is larger than %d MiB", maxDefinitions>>20)
	case len(m.Definitions) > 0 && !json.Valid(m.Definitions):
		c.addf("mcp.definitions", "the document is not JSON")
	}
	c.duration("mcp.timeout", m.Timeout, time.Millisecond, 10*time.Minute)
	c.between("mcp.maxBody", m.MaxBody, maxBody)
	if len(m.Tools) > maxList {
		c.addf("mcp.tools", "has more than %d entries", maxList)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.Tools)) {
		at := "mcp.tools." + name
		c.add(at, checkTool(name))
		c.toolRule(at, m.Tools[name])
		c.mcpRule(at, m.Tools[name])
	}
}

// mcpRule refuses what a rule can say of HTTP alone: MCP has no headers that a
// tool takes.
func (c *checker) mcpRule(path string, r ToolRule) {
	if r.ReferenceHeader != "" {
		c.hint(path+".referenceHeader", "set referenceArgument to the argument in which the tool takes a reference", "a tool of an MCP server takes no reference in a header")
	}
	if a := r.ReferenceArgument; len(a) > maxArgument || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' }) {
		c.addf(path+".referenceArgument", "is not the name of an argument")
	}
	if r.Idempotency != nil {
		c.addf(path+".idempotency", "a tool of an MCP server takes no idempotency key in a header")
	}
}

// maxArgument bounds the name of an argument, in bytes.
const maxArgument = 100

// maxPath bounds a path of the machine, in bytes.
const maxPath = 1000

func (c *checker) stdio(at string, s *Stdio) {
	if len(s.Command) == 0 || len(s.Command) > maxList {
		c.hint(at+".command", "write the program's absolute path, then its arguments", "the command is missing, or has more than 200 parts")
	}
	for i, a := range s.Command {
		if len(a) > maxPath || strings.ContainsRune(a, 0) || i == 0 && !plainPath(a) {
			c.addf(at+".command", "part %d is not an absolute path in its plain form, or is too long", i+1)
		}
	}
	if s.Dir != "" && !plainPath(s.Dir) {
		c.addf(at+".dir", "is not an absolute path in its plain form")
	}
	paths := func(s string) error {
		if !plainPath(s) {
			return fault.Newf(fault.Invalid, "%q is not an absolute path in its plain form", fault.Quote(s))
		}
		return nil
	}
	c.list(at+".read", s.Read, paths)
	c.list(at+".write", s.Write, paths)
	if len(s.Env) > maxList {
		c.addf(at+".env", "has more than %d entries", maxList)
	}
	for name, v := range s.Env {
		c.add(at+".env", checkVariable(name))
		c.text(at+".env."+name, v, maxDescription)
		if SecretKey(name) && v != "" {
			c.secret(at + ".env." + name)
		}
	}
	if s.Sandbox != "" && s.Sandbox != SandboxRequired && s.Sandbox != SandboxBestEffort {
		c.hint(at+".sandbox", "write required or best-effort", "%q is not what a sandbox can be", fault.Quote(s.Sandbox))
	}
	for _, p := range append([]string{s.Dir}, append(slices.Clone(s.Read), s.Write...)...) {
		if p == "/" {
			c.addf(at+".read", "the whole machine is not a path for a child")
		}
	}
	c.between(at+".memory", s.Memory, 1<<40)
	c.between(at+".processes", int64(s.Processes), 10_000)
	c.between(at+".openFiles", int64(s.OpenFiles), 100_000)
}

func plainPath(s string) bool {
	return len(s) <= maxPath && path.IsAbs(s) && path.Clean(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// loaders are variables by which whoever sets them runs code in the child, or
// changes what its libraries trust.
var loaders = []string{"LD_", "DYLD_", "GLIBC_", "MALLOC_", "NODE_OPTIONS", "PYTHONSTARTUP", "PERL5OPT", "RUBYOPT", "BASH_ENV", "ENV"}

// checkVariable takes the name of an environment variable.
func checkVariable(name string) error {
	if name == "" || len(name) > 100 || name[0] >= '0' && name[0] <= '9' || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return fault.Newf(fault.Invalid, "%q is not the name of an environment variable", fault.Quote(name))
	}
	for _, l := range loaders {
		if name == l || strings.HasSuffix(l, "_") && strings.HasPrefix(name, l) {
			return fault.Newf(fault.Invalid, "the variable %s decides what code runs in the child", name)
		}
	}
	return nil
}

// oauth checks the authorization server that a Connection is pinned to, and what
// is asked of it.
func (c *checker) oauth(a Auth) {
	if a.Scope != "" && (len(a.Scope) > maxPath || strings.Join(strings.Fields(a.Scope), " ") != a.Scope ||
		strings.ContainsFunc(a.Scope, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })) {
		c.addf("auth.scope", "is not a list of scopes: words with one space between")
	}
	if a.Issuer == "" {
		c.hint("auth.issuer", "write the URL of the authorization server that may be given the credential", "the issuer is missing")
		return
	}
	u, err := url.Parse(a.Issuer)
	if err != nil || len(a.Issuer) > maxPath {
		c.addf("auth.issuer", "is not a URL")
		return
	}
	if o, err := ParseOrigin(u); err != nil {
		c.add("auth.issuer", err)
	} else if u.RawQuery != "" || u.ForceQuery || strings.Contains(a.Issuer, "#") || o.Scheme == "http" && !o.Loopback() {
		c.addf("auth.issuer", "an issuer is an https URL without query and fragment")
	}
}
