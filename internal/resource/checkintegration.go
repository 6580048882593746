package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

const (
	maxOpenAPI = 8 << 20  // bytes of a document
	maxBody    = 64 << 20 // bytes of an answer
)

// Check is of kind Invalid; see [Resource].
func (i *Integration) Check() error {
	var c checker
	c.head(i.Head, KindIntegration)
	switch {
	case i.HTTP != nil && i.Model != nil:
		c.addf("model", "an Integration is either http or model, not both")
	case i.MCP != nil && (i.HTTP != nil || i.Model != nil):
		c.addf("mcp", "an Integration is one of http, model and mcp, not several")
	case i.HTTP != nil:
		c.http(i.HTTP)
	case i.Model != nil:
		c.model(i.Model)
	case i.MCP != nil:
		c.mcp(i.MCP)
	default:
		c.hint("kind", "give it a section http:, model: or mcp:", "the Integration does not say what it reaches")
	}
	c.secrets(i)
	return c.err()
}

func (c *checker) http(h *HTTP) {
	c.baseURL("http.baseURL", h.BaseURL, h.Network)
	c.network("http.network", h.Network)
	switch {
	case len(h.OpenAPI) == 0:
		c.hint("http.openapi", "name a file with the system's OpenAPI document", "the document is missing")
	case len(h.OpenAPI) > maxOpenAPI:
		c.addf("http.openapi", "the document is larger than %d MiB", maxOpenAPI>>20)
	case !json.Valid(h.OpenAPI):
		c.addf("http.openapi", "the document is not JSON")
	}
	c.duration("http.timeout", h.Timeout, time.Millisecond, 10*time.Minute)
	c.between("http.maxBody", h.MaxBody, maxBody)
	if len(h.Tools) > maxList {
		c.addf("http.tools", "has more than %d entries", maxList)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.Tools)) {
		c.add("http.tools."+name, checkTool(name))
		c.toolRule("http.tools."+name, h.Tools[name])
		if h.Tools[name].Errors != "" {
			c.addf("http.tools."+name+".errors", "what an error of an HTTP API means, its status says")
		}
		if h.Tools[name].ReferenceArgument != "" {
			c.hint("http.tools."+name+".referenceArgument", "set referenceHeader", "an HTTP API takes the reference in a header")
		}
	}
}

func (c *checker) toolRule(path string, r ToolRule) {
	if r.Effect != "" && r.Effect != Read && r.Effect != Write {
		c.hint(path+".effect", "write read or write", "%q is not an effect", fault.Quote(string(r.Effect)))
	}
	if r.Errors != "" && r.Errors != Definite {
		c.hint(path+".errors", "write definite, or leave it out", "%q is nothing that errors are", fault.Quote(r.Errors))
	}
	if r.ReferenceHeader != "" {
		c.add(path+".referenceHeader", checkHeader(r.ReferenceHeader, true))
	}
	c.list(path+".notSecret", r.NotSecret, func(s string) error {
		if !isPointer(s) {
			return fault.Newf(fault.Invalid, "%q is not a JSON pointer", fault.Quote(s)).WithHint("write the place in the answer, like /nextCursor or /items/*/etag")
		}
		return nil
	})
	if p := strings.TrimPrefix(r.Record, InAnswer); r.Record != "" && !isPointer(p) {
		c.hint(path+".record", "write the place in the arguments, like /vendorId, or in the answer, like answer:/id", "%q is not a JSON pointer", fault.Quote(p))
	}
	if r.RecordPrivate && r.Record == "" {
		c.addf(path+".recordPrivate", "there is no record whose name could be hidden")
	}
	if r.Idempotency != nil {
		c.idempotency(path+".idempotency", r)
	}
	if r.Lookup == nil {
		return
	}
	if r.Effect == Read {
		c.addf(path+".lookup", "a read needs no lookup")
	}
	if r.ReferenceHeader == "" && r.ReferenceArgument == "" {
		// Without it the system never learns the reference, the lookup never
		// finds it, and a write that was applied would be called absent.
		c.hint(path+".lookup", "set referenceHeader to the header, or of an MCP tool referenceArgument to the argument, in which the system takes a reference", "the lookup could not find what was written: no reference is sent")
	}
	c.lookup(path+".lookup", *r.Lookup)
}

func (c *checker) idempotency(path string, r ToolRule) {
	i := *r.Idempotency
	if r.Effect == Read {
		c.addf(path, "a read needs no idempotency key: it is read again")
	}
	c.add(path+".header", checkHeader(i.Header, true))
	if textproto.CanonicalMIMEHeaderKey(i.Header) == textproto.CanonicalMIMEHeaderKey(r.ReferenceHeader) {
		c.addf(path+".header", "the header %s carries the reference already", fault.Quote(i.Header))
	}
	if i.Window == 0 {
		c.hint(path+".window", "write how long the system knows a key, like 24h", "the window is missing: without it nobody knows until when a request can be sent again")
	} else {
		c.duration(path+".window", i.Window, time.Minute, 30*24*time.Hour)
	}
	switch {
	case i.Semantics != Replays && i.Semantics != Rejects:
		c.hint(path+".semantics", "write replays or rejects", "%q is not what a system does with a key that it knows", fault.Quote(string(i.Semantics)))
	case i.Semantics == Replays && i.Status != 0:
		c.addf(path+".status", "a system that replays its answer has no status for a known key")
	case i.Semantics == Rejects && (i.Status < 400 || i.Status > 499 || slices.Contains([]int{401, 403, 404, 408, 429, 499}, i.Status)):
		c.hint(path+".status", "write the status that the system answers to a known key with, such as 409", "%d can't be the status of a known key", i.Status)
	}
}

func (c *checker) lookup(path string, l Lookup) {
	c.add(path+".connection", ident.CheckName(l.Connection))
	c.add(path+".tool", checkTool(l.Tool))
	if !slices.Contains(slices.Collect(maps.Values(l.Args)), any("$reference")) {
		c.hint(path+".args", `one argument has to be "$reference"`, "the lookup does not ask for the Intent's reference")
	}
	if !isPointer(l.Found) {
		c.hint(path+".found", "write the place in the answer, like /items or /items/0", "%q is not a JSON pointer", fault.Quote(l.Found))
	}
	c.duration(path+".settle", l.Settle, time.Millisecond, time.Hour)
}

// isPointer is the grammar of RFC 6901, section 3; the empty pointer, the whole
// document, is always present and so says nothing.
func isPointer(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(s)
	return !strings.Contains(rest, "~")
}

func (c *checker) model(m *Model) {
	switch m.Provider {
	case "openai", "anthropic":
	default:
		c.hint("model.provider", "write openai (any compatible server) or anthropic", "%q is not a provider", fault.Quote(m.Provider))
	}
	c.required("model.model", m.Model, maxTitle)
	if m.BaseURL != "" {
		c.baseURL("model.baseURL", m.BaseURL, m.Network)
	}
	c.network("model.network", m.Network)
	c.between("model.maxTokens", int64(m.MaxTokens), 1_000_000)
	c.price("model.inputPrice", m.InputPrice)
	c.price("model.outputPrice", m.OutputPrice)
	c.duration("model.timeout", m.Timeout, time.Millisecond, 30*time.Minute)
}

func (c *checker) price(path string, v float64) {
	if math.IsNaN(v) || v < 0 || v > 1e6 {
		c.addf(path, "is not between 0 and 1000000 US dollars")
	}
}

func (c *checker) baseURL(path, s string, n Network) {
	if s == "" {
		c.addf(path, "is missing")
		return
	}
	u, err := url.Parse(s)
	if err != nil {
		c.addf(path, "is not a URL") // url.Error repeats it, with a password that it may carry
		return
	}
	o, err := ParseOrigin(u)
	if err != nil {
		c.add(path, err)
		return
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#") {
		c.addf(path, "a base URL has no query and no fragment")
	}
	if o.Scheme == "http" && !(n.AllowLoopbackHTTP && o.Loopback()) {
		c.hint(path, "use https; network.allowLoopbackHTTP permits http to a loopback address only", "plain http would send the credential in the clear")
	}
}

// Loopback says whether it is this machine: the only place that plain HTTP goes to.
func (o Origin) Loopback() bool {
	host, _, _ := net.SplitHostPort(o.Host)
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (c *checker) network(path string, n Network) {
	c.list(path+".allowPrivate", n.AllowPrivate, func(s string) error {
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return fault.Newf(fault.Invalid, "%q is not an address range", fault.Quote(s)).WithHint("write it like 10.20.0.0/16")
		case p != p.Masked():
			return fault.Newf(fault.Invalid, "%q has bits beyond its length", s).WithHint("did you mean %s?", p.Masked())
		case p.Bits() == 0:
			return fault.Newf(fault.Invalid, "%q is every address there is", s)
		}
		return nil
	})
}

// Check is of kind Invalid; see [Resource].
func (x *Connection) Check() error {
	var c checker
	c.head(x.Head, KindConnection)
	c.add("integration", ident.CheckName(x.Integration))
	if x.Tools == nil { // an empty list is said on purpose: the definitions are still to be pulled
		c.hint("tools", "list the operationIds that it may be used for", "a Connection without tools can't be used")
	}
	c.list("tools", x.Tools, checkTool)
	c.auth(x.Auth)
	c.secrets(x)
	return c.err()
}

func (c *checker) auth(a Auth) {
	switch a.Scheme {
	case SchemeBearer, SchemeBasic:
		if a.Name != "" {
			c.addf("auth.name", "the scheme %s has no name", a.Scheme)
		}
	case SchemeHeader:
		c.add("auth.name", checkHeader(a.Name, false))
	case SchemeQuery:
		if a.Name == "" || len(a.Name) > 100 || strings.ContainsFunc(a.Name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("&=#?%+;", r) }) {
			c.addf("auth.name", "%q is not a query parameter's name", fault.Quote(a.Name))
		}
	case SchemeEnv, SchemeFile:
		if len(a.Variables) == 0 {
			c.add("auth.name", checkVariable(a.Name))
		}
	case SchemeNone:
		if a.Name != "" || a.Secret != "" || a.Field != "" {
			c.addf("auth.scheme", "the scheme none has no name, no secret and no field")
		}
	case SchemeOAuthClient, SchemeOAuthUser:
		if a.Name != "" || a.Field != "" {
			c.addf("auth.name", "the scheme %s has no name and no field: it takes those of the Secret that it needs", a.Scheme)
		}
		if a.Scheme == SchemeOAuthUser && strings.Contains(a.Secret, "@") {
			c.addf("auth.secret", "the scheme oauth-user can't pin a version: each new token is one")
		}
		c.oauth(a)
	default:
		c.hint("auth.scheme", "write bearer, basic, header, query, none, env, file, oauth-client or oauth-user", "%q is not a scheme", fault.Quote(string(a.Scheme)))
	}
	if len(a.Variables) > 0 {
		c.variables(a)
	}
	if !a.Scheme.OAuth() && (a.Issuer != "" || a.Scope != "") {
		c.addf("auth.issuer", "only the schemes oauth-client and oauth-user have an issuer and a scope")
	}
	if _, _, err := a.Ref(); err != nil {
		c.add("auth.secret", err)
	}
	switch {
	case a.Field == "":
	case a.Scheme == SchemeBasic:
		c.addf("auth.field", "the scheme basic uses the fields username and password")
	default:
		c.add("auth.field", checkIdentifier(a.Field))
	}
}

// maxVariables bounds what one child is given.
const maxVariables = 10

func (c *checker) variables(a Auth) {
	if a.Scheme != SchemeEnv || a.Name != "" || a.Field != "" || len(a.Variables) > maxVariables {
		c.addf("auth.variables", "at most %d variables are given, by the scheme env alone, and in place of a name and a field", maxVariables)
	}
	for name, field := range a.Variables {
		c.add("auth.variables", checkVariable(name))
		c.add("auth.variables", checkIdentifier(field))
	}
}

// Place says where the credential is put, and which of the Secret's fields, as an
// approver approves it: of several variables both lists with commas, in one order.
func (a Auth) Place() (name, field string) {
	if len(a.Variables) == 0 {
		return a.Name, a.Field
	}
	var names, fields []string
	for _, n := range slices.Sorted(maps.Keys(a.Variables)) {
		names, fields = append(names, n), append(fields, a.Variables[n])
	}
	return strings.Join(names, ","), strings.Join(fields, ",")
}

// Ref splits the Secret reference into the Secret's name and the version that
// is pinned, 0 for the active one at call time. The error never repeats what
// was written: it might be a value that somebody put in the wrong place.
func (a Auth) Ref() (name string, version int, err error) {
	if a.Scheme == SchemeNone && a.Secret == "" {
		return "", 0, nil
	}
	name, v, pinned := strings.Cut(a.Secret, "@")
	if ident.CheckName(name) != nil {
		return "", 0, errRef()
	}
	if !pinned {
		return name, 0, nil
	}
	digits, ok := strings.CutPrefix(v, "v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || digits != strconv.Itoa(n) {
		return "", 0, errRef()
	}
	return name, n, nil
}

func errRef() error {
	return fault.New(fault.Invalid, "this is not a reference to a Secret").
		WithHint("write the Secret's name, like erp-read, or with a version that is pinned, like erp-read@v2; store the value with: sallyport secret set NAME")
}

// steering lists headers that decide where a request goes, how long it is or
// whom it seems to come from. None may carry a credential or a reference.
var steering = []string{
	"Host", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "Expect", "Cookie", "Forwarded", "Via",
}

// checkHeader takes a header's name. A reference is not secret, so it may not
// go where a credential goes.
func checkHeader(name string, reference bool) error {
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool {
		return r > '~' || !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return fault.Newf(fault.Invalid, "%q is not a header's name", fault.Quote(name))
	}
	canon := textproto.CanonicalMIMEHeaderKey(name)
	if slices.Contains(steering, canon) || strings.HasPrefix(canon, "X-Forwarded-") || reference && canon == "Authorization" {
		return fault.New(fault.Invalid, fmt.Sprintf("the header %s can't be set", canon))
	}
	return nil
}
