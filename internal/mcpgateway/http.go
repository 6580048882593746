package mcpgateway

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// maxMessage bounds a request's body: arguments as they may be spelled, and what is
// around them.
const maxMessage = 4*intent.MaxArgs + 64<<10

// serve takes one request as far as its message: origin, caller, body.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{Gateway: g, w: w, r: r, rc: http.NewResponseController(w), mission: r.PathValue("mission")}
	if !g.sameOrigin(r) {
		c.refuse(http.StatusForbidden, jsonrpc.CodeInvalidRequest, "the request comes from a page of another origin, or names another host")
		return
	}
	who, err := g.caller(r)
	if err != nil {
		c.unauthenticated(err)
		return
	}
	c.who = who
	if !g.open.enter(key(who)) {
		c.tooMany()
		return
	}
	defer g.open.leave(key(who))
	switch r.Method {
	case http.MethodPost:
		c.post()
	case http.MethodDelete:
		c.endSession()
	default: // nothing is sent that no request asked for, so there is no stream to GET
		w.Header().Set("Allow", "POST, DELETE")
		c.refuse(http.StatusMethodNotAllowed, jsonrpc.CodeInvalidRequest, "send messages with POST")
	}
}

// tooMany refuses one request more than a caller may have open.
func (c *call) tooMany() {
	c.w.Header().Set("Retry-After", "1")
	c.refuse(http.StatusTooManyRequests, jsonrpc.CodeInvalidRequest, "too many requests of this caller are open, or too large ones")
}

// caller authenticates a request.
func (g *Gateway) caller(r *http.Request) (ident.Principal, error) {
	h := r.Header.Values("Authorization")
	if len(h) == 0 {
		return ident.Principal{}, errNoToken
	}
	scheme, token, _ := strings.Cut(h[0], " ")
	if len(h) > 1 || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return ident.Principal{}, fault.New(fault.Unauthenticated, "the request has no one bearer token")
	}
	return g.Callers.Caller(r.Context(), strings.TrimSpace(token))
}

// sameOrigin refuses what a page elsewhere makes a browser send: one that has a
// name of its own point here (DNS rebinding), or another site's.
func (g *Gateway) sameOrigin(r *http.Request) bool {
	if !g.Host(hostname(r.Host)) {
		return false
	}
	o := r.Header.Values("Origin")
	switch len(o) {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	u, err := url.Parse(o[0])
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && g.Host(u.Hostname())
}

// hostname is a Host header's name without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// Hosts makes a Config's Host: the loopback names, the host of the public URL, and
// with anyName every one, for a server whose certificate says who it is.
func Hosts(publicURL string, anyName bool) func(string) bool {
	public := ""
	if u, err := url.Parse(publicURL); err == nil {
		public = u.Hostname()
	}
	return func(name string) bool {
		ip := net.ParseIP(name)
		return anyName || strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback() || public != "" && strings.EqualFold(name, public)
	}
}

// post reads the message and hands it to its era.
func (c *call) post() {
	if m, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || m != "application/json" {
		c.refuse(http.StatusUnsupportedMediaType, jsonrpc.CodeInvalidRequest, "send application/json")
		return
	}
	if !c.accepts("application/json") && !c.accepts(eventStream) {
		c.refuse(http.StatusNotAcceptable, jsonrpc.CodeInvalidRequest, "accept application/json and text/event-stream")
		return
	}
	room := c.r.ContentLength
	if room < 0 || room > maxMessage { // it is not said, or more than is read
		room = maxMessage
	}
	if !c.open.add(key(c.who), load{bytes: room}) {
		c.tooMany()
		return
	}
	defer func() { c.open.add(key(c.who), load{bytes: -room}) }()
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxMessage))
	c.open.add(key(c.who), load{bytes: int64(len(b)) - room}) // never more
	room = int64(len(b))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			c.refuse(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "the message is too large")
			return
		}
		c.refuse(http.StatusBadRequest, jsonrpc.CodeParse, "the message ends too early")
		return
	}
	// The server's deadline for reading would end what waits for a person.
	_ = c.rc.SetReadDeadline(time.Time{})
	if c.msg, err = jsonrpc.Decode(b, maxMessage); err != nil {
		c.fail(&failure{jsonrpc.CodeOf(err), http.StatusBadRequest, err.Error(), nil})
		return
	}
	if c.msg.IsAnswer() && !c.legacySession() {
		c.refuse(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "nothing was asked that this could answer")
		return
	}
	c.byEra()
}

// legacySession says that the request names a session: only there answers have had a
// place. They are taken and dropped, since nothing is ever asked.
func (c *call) legacySession() bool { return c.r.Header.Get(sessionHeader) != "" }

// accepts says whether the client takes a media type.
func (c *call) accepts(media string) bool {
	vs := c.r.Header.Values("Accept")
	if len(vs) == 0 {
		return true
	}
	for _, v := range strings.Split(strings.Join(vs, ","), ",") {
		m, p, err := mime.ParseMediaType(v)
		if err != nil || p["q"] == "0" {
			continue
		}
		kind, _, _ := strings.Cut(media, "/")
		if m == media || m == "*/*" || m == kind+"/*" {
			return true
		}
	}
	return false
}

// one gives a header that may stand once at most.
func (c *call) one(name string) (value string, there bool, err error) {
	vs := c.r.Header.Values(name)
	switch len(vs) {
	case 0:
		return "", false, nil
	case 1:
		return strings.TrimSpace(vs[0]), true, nil
	}
	return "", true, mismatch("the header " + name + " stands more than once")
}
