package mcpgateway

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/wire/jsonrpc"
)

const sessionHeader = "Mcp-Session-Id"

// Bounds on sessions: of one caller the one that was used least is ended for a new
// one, of all together new ones are refused.
const (
	maxSessions  = 16
	allSessions  = 4096
	maxSubscribe = 64
	maxURI       = 2000 // of a subscription, in bytes
)

// session is what the older revisions remember between requests. It is bound to who
// began it and to the path, and is lost with the process: clients begin another.
type session struct {
	id, owner, mission, version string

	mu      sync.Mutex
	level   string
	watched map[string]bool
	used    time.Time
}

func (s *session) logLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// sessions are those of all callers.
type sessions struct {
	mu  sync.Mutex
	all map[string]*session
}

// begin makes a session; false when there are too many.
func (s *sessions) begin(n *session, now time.Time, idle time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *session
	own := 0
	for id, o := range s.all {
		o.mu.Lock()
		used := o.used
		o.mu.Unlock()
		if now.Sub(used) > idle {
			delete(s.all, id)
			continue
		}
		if o.owner == n.owner {
			if own++; oldest == nil || used.Before(oldest.used) {
				oldest = o
			}
		}
	}
	if own >= maxSessions {
		delete(s.all, oldest.id)
	}
	if len(s.all) >= allSessions {
		return false
	}
	n.id, n.used, n.watched = rand.Text(), now, map[string]bool{}
	s.all[n.id] = n
	return true
}

// find gives the caller's session; nil for every other, so that an id tells nothing.
func (s *sessions) find(id, owner, mission string, now time.Time, idle time.Duration) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.all[id]
	if o == nil || o.owner != owner || o.mission != mission {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.used) > idle {
		delete(s.all, id)
		return nil
	}
	o.used = now
	return o
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

// initialize begins a session of an older revision.
func (c *call) initialize() {
	if !c.msg.IsRequest() {
		c.refuse(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "initialize is a request")
		return
	}
	want, ok := c.msg.Params.Text("protocolVersion")
	if !ok {
		c.fail(badParams("the params have no protocolVersion"))
		return
	}
	n := &session{owner: key(c.who), mission: c.mission, version: versions[1]}
	if want != modern && slices.Contains(versions, want) {
		n.version = want
	}
	if !c.sessions.begin(n, c.Now(), c.Times.Idle) {
		c.w.Header().Set("Retry-After", "60")
		c.refuse(http.StatusServiceUnavailable, jsonrpc.CodeInternal, "too many sessions are open")
		return
	}
	c.sess = n
	c.w.Header().Set(sessionHeader, n.id)
	v, _ := json.Marshal(n.version)
	out := append([]byte(`{"protocolVersion":`), v...)
	out = append(out, `,"capabilities":`+legacyCapabilities+`,"serverInfo":`...)
	out = append(append(out, c.serverInfo()...), `,"instructions":`...)
	c.reply(append(jsonrpc.AppendString(out, c.instructions()), '}'))
}

// legacyEra serves a message within a session.
func (c *call) legacyEra(header string) {
	if !c.inSession() {
		return
	}
	if header != "" && header != c.sess.version {
		c.fail(&failure{jsonrpc.CodeInvalidRequest, http.StatusBadRequest, "MCP-Protocol-Version is not the session's", nil})
		return
	}
	if !c.msg.IsRequest() { // cancelled, initialized, and answers to what was not asked
		c.w.WriteHeader(http.StatusAccepted)
		return
	}
	meta, _ := c.msg.Params.Object("_meta")
	c.progress = progressToken(meta)
	c.dispatch(legacyMethods)
}

// inSession finds the session that the request names, or answers that there is none.
func (c *call) inSession() bool {
	id, there, err := c.one(sessionHeader)
	if err != nil || !there {
		c.refuse(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "there is no one Mcp-Session-Id: begin with initialize, or say MCP-Protocol-Version: "+modern)
		return false
	}
	if c.sess = c.sessions.find(id, key(c.who), c.mission, c.Now(), c.Times.Idle); c.sess == nil {
		c.refuse(http.StatusNotFound, jsonrpc.CodeInvalidRequest, "there is no such session: begin another with initialize")
		return false
	}
	return true
}

// endSession ends what DELETE names.
func (c *call) endSession() {
	if c.inSession() {
		c.sessions.end(c.sess.id)
		c.w.WriteHeader(http.StatusNoContent)
	}
}

// setLevel says from which level on the client wants log messages.
func (c *call) setLevel() ([]byte, error) {
	l, _ := c.msg.Params.Text("level")
	if _, ok := levels[l]; !ok {
		return nil, badParams("there is no such level")
	}
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	c.sess.level = l
	return []byte("{}"), nil
}

// subscribe takes note of a resource. Upstream servers' notices of changes don't
// come through, so nothing is ever sent for it; see docs/mcp.md.
func (c *call) subscribe() ([]byte, error) {
	uri, ok := c.msg.Params.Text("uri")
	if !ok || len(uri) > maxURI {
		return nil, badParams("the params have no uri, or it is too long")
	}
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	if len(c.sess.watched) >= maxSubscribe && !c.sess.watched[uri] {
		return nil, badParams("the session has too many subscriptions")
	}
	c.sess.watched[uri] = true
	return []byte("{}"), nil
}

func (c *call) unsubscribe() ([]byte, error) {
	uri, ok := c.msg.Params.Text("uri")
	if !ok {
		return nil, badParams("the params have no uri")
	}
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	delete(c.sess.watched, uri)
	return []byte("{}"), nil
}
