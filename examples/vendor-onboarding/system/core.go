package system

import (
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// core is the state that requests of both listeners share.
type core struct {
	sys  System
	svc  *Service
	path string // of the credentials file

	mu        sync.Mutex // held for all below
	keys      []Credential
	behaviour Behaviour
	stats     Stats
	held      int
	release   chan struct{} // closed to let held requests go, then made anew
	change    chan struct{} // closed when held changes, then made anew
}

// Stats is what GET /stats on the control listener answers. Counts are of this
// process's life; Durable is of all.
type Stats struct {
	System        string                     `json:"system"`
	Requests      int                        `json:"requests"`      // to operations and unknown paths, not to the OpenAPI document
	Authenticated int                        `json:"authenticated"` // with a good credential
	Unauthorized  int                        `json:"unauthorized"`  // 401
	Forbidden     int                        `json:"forbidden"`     // 403
	Writes        int                        `json:"writes"`        // writing operations that answered 2xx
	Held          int                        `json:"held"`          // requests held now
	Credentials   map[string]CredentialStats `json:"credentials"`
	Durable       map[string]int             `json:"durable,omitempty"`
}

// CredentialStats counts one accepted credential, by its name.
type CredentialStats struct {
	Requests int      `json:"requests"`
	SHA256   []string `json:"sha256"` // in hex, of each value that was accepted under the name, see [Credential.Sum]
}

func newCore(sys System, svc *Service, keys []Credential, path string) *core {
	return &core{
		sys: sys, svc: svc, path: path, keys: keys,
		stats:   Stats{System: sys.Name, Credentials: map[string]CredentialStats{}},
		release: make(chan struct{}), change: make(chan struct{}),
	}
}

// changed wakes those who wait for held. The caller holds mu.
func (c *core) changed() {
	close(c.change)
	c.change = make(chan struct{})
}

// api is the public listener's handler.
func (c *core) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(c.sys.OpenAPI)))
		_, _ = w.Write(c.sys.OpenAPI)
	})
	for _, rt := range c.svc.Routes {
		mux.HandleFunc(rt.Pattern, c.route(rt))
	}
	mux.HandleFunc("/", c.route(Route{Handle: func(w http.ResponseWriter, _ *http.Request) {
		Fail(w, http.StatusNotFound, "there is no such operation")
	}}))
	return secured(mux)
}

// secured adds the headers that keep an answer from being cached, sniffed,
// framed or run.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// route is the way of a request: behaviour, credential, scope, operation.
func (c *core) route(rt Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := c.behaviourFor(r)
		if b.Mode == Echo {
			echo(func(w http.ResponseWriter, r *http.Request) { c.admit(rt, b, w, r) }, w, r)
			return
		}
		c.admit(rt, b, w, r)
	}
}

func (c *core) admit(rt Route, b Behaviour, w http.ResponseWriter, r *http.Request) {
	scheme := c.sys.Scheme
	if rt.Scheme != nil {
		scheme = *rt.Scheme
	}
	presented, ok := scheme.present(r)
	c.mu.Lock()
	keys := c.keys
	c.mu.Unlock()
	key, good := match(keys, presented)
	if !ok || !good {
		c.count(func(s *Stats) { s.Requests++; s.Unauthorized++ })
		w.Header().Set("WWW-Authenticate", scheme.challenge)
		Fail(w, http.StatusUnauthorized, "a valid credential is needed")
		return
	}
	c.accepted(key)
	if !key.may(rt.Scope) {
		c.count(func(s *Stats) { s.Forbidden++ })
		Fail(w, http.StatusForbidden, "this credential does not have the scope "+rt.Scope)
		return
	}
	c.misbehave(b, func(w http.ResponseWriter, r *http.Request) {
		status := &statusWriter{ResponseWriter: w}
		rt.Handle(status, r)
		if rt.Write && status.code >= 200 && status.code < 300 {
			c.count(func(s *Stats) { s.Writes++ })
		}
	}, w, r)
}

func (c *core) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *core) accepted(key Credential) {
	sum := key.Sum()
	h := hex.EncodeToString(sum[:])
	c.count(func(s *Stats) {
		s.Requests++
		s.Authenticated++
		k := s.Credentials[key.Name]
		k.Requests++
		if !slices.Contains(k.SHA256, h) {
			k.SHA256 = append(slices.Clip(k.SHA256), h)
		}
		s.Credentials[key.Name] = k
	})
}

// statusWriter remembers the status. It passes flushes on, for streams.
type statusWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets [http.ResponseController] reach the writer underneath.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// loopbackHost reports whether a request names this machine: a page of some
// other site, opened in a browser here, does not.
func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
