// Package catalog is what one tenant has applied, resolved and ready to use: an
// immutable [Snapshot] in which every reference between resources leads
// somewhere and every Integration's connector is built.
//
// [Snapshot.Match] is the one match result: policy, the digest that a person
// approves, the rendered request and the credential's injection all start from
// it, and there is no second lookup that could find something else.
//
// It refuses to be built with a reference that leads nowhere, a rule about a
// Tool that does not exist, or two rules that contradict each other: what looks
// like protection has to be some. Nothing is half-built.
//
// # Security
//
// Least privilege is decided here: a Mission reaches the Tools that the
// Connections it holds allow, and nothing else. A refusal has one text, whether
// or not the thing exists, so that a Worker can't explore what there is. The
// matches are made when the snapshot is, so a refusal and its cost do not
// depend on a Worker's text.
package catalog

import (
	"strings"
	"sync"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Key names a resource within its tenant.
type Key struct {
	Kind resource.Kind
	Name string
}

// Snapshot is one tenant's resources. It never changes, and what it hands out
// must not be changed either. nil is a Snapshot without anything.
type Snapshot struct {
	resources    map[Key]resource.Resource
	integrations map[string]*Integration
	matches      map[triple]*Match
	offers       map[string][]MissionTool // by Mission
	teams        map[string]string        // ids by name
	sorted       []resource.Resource
}

type triple struct{ mission, connection, tool string }

// Integration is an Integration with its connector.
type Integration struct {
	*resource.Integration
	Revision int64
	Kind     connector.Kind
}

// Match is all that is known about one Mission's use of one Tool through one
// Connection.
type Match struct {
	Mission     *resource.Mission
	Connection  *resource.Connection
	Integration *resource.Integration
	Revision    int64 // of the Integration
	Kind        connector.Kind
	Tool        connector.Tool
	Origin      resource.Origin // the only place that the credential may go
	// Secret and Version are the Connection's reference: version 0 is the
	// active one at call time, anything else is pinned.
	Secret  string
	Version int
	// Decision is who decides when policy asks: the Mission's rule for the Tool
	// or else for the Connection, with the strictest expiry and pin of both.
	// nil when the Mission has no rule.
	Decision *resource.DecisionRule
}

// Model reports whether it is a completion.
func (m *Match) Model() bool { return m.Integration.Model != nil }

// Stdio is the child process that the Integration is; nil where it is none.
func (m *Match) Stdio() *resource.Stdio {
	if m.Integration.MCP == nil {
		return nil
	}
	return m.Integration.MCP.Stdio
}

// MissionTool is a Tool as a Worker of a Mission is offered it.
type MissionTool struct {
	Name       string // connection__tool
	Connection string
	Tool       connector.Tool
}

// errNoMatch has no name in it, and is the same for everything.
var errNoMatch = fault.New(fault.Denied, "the Mission does not hold this tool").
	WithHint("only the tools that the Mission lists can be used")

// Match finds what a Mission's Run may do; kind Denied for all else.
func (s *Snapshot) Match(mission, connection, tool string) (*Match, error) {
	if s != nil {
		if m, ok := s.matches[triple{mission, connection, tool}]; ok {
			return m, nil
		}
	}
	return nil, errNoMatch
}

// Tools lists what a Worker of the Mission is offered, in the order of the
// names. The Mission's own model is not among it: the Run's loop reaches it.
func (s *Snapshot) Tools(mission string) []MissionTool {
	if s == nil {
		return nil
	}
	return append([]MissionTool(nil), s.offers[mission]...)
}

// Mission finds one by name.
func (s *Snapshot) Mission(name string) (*resource.Mission, bool) {
	return find[*resource.Mission](s, resource.KindMission, name)
}

// Worker finds one by name.
func (s *Snapshot) Worker(name string) (*resource.Worker, bool) {
	return find[*resource.Worker](s, resource.KindWorker, name)
}

// Connection finds one by name.
func (s *Snapshot) Connection(name string) (*resource.Connection, bool) {
	return find[*resource.Connection](s, resource.KindConnection, name)
}

// Team finds one by name.
func (s *Snapshot) Team(name string) (*resource.Team, bool) {
	return find[*resource.Team](s, resource.KindTeam, name)
}

// TeamID is the Team's id, which never changes; "" when there is none.
func (s *Snapshot) TeamID(name string) string {
	if s == nil {
		return ""
	}
	return s.teams[name]
}

// Integration finds one by name.
func (s *Snapshot) Integration(name string) (*Integration, bool) {
	if s == nil {
		return nil, false
	}
	i, ok := s.integrations[name]
	return i, ok
}

// Resources lists everything in the order of kinds and names.
func (s *Snapshot) Resources() []resource.Resource {
	if s == nil {
		return nil
	}
	return append([]resource.Resource(nil), s.sorted...)
}

// Channels lists them, by name.
func (s *Snapshot) Channels() []*resource.Channel {
	var out []*resource.Channel
	for _, r := range s.Resources() {
		if c, ok := r.(*resource.Channel); ok {
			out = append(out, c)
		}
	}
	return out
}

// Channel finds one by name.
func (s *Snapshot) Channel(name string) (*resource.Channel, bool) {
	return find[*resource.Channel](s, resource.KindChannel, name)
}

// Uses names the Connections that refer to a Secret, by name.
func (s *Snapshot) Uses(secret string) []string {
	var out []string
	for _, r := range s.Resources() {
		if c, ok := r.(*resource.Connection); ok {
			if name, _, err := c.Auth.Ref(); err == nil && name == secret {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

func find[R resource.Resource](s *Snapshot, k resource.Kind, name string) (r R, ok bool) {
	if s == nil {
		return r, false
	}
	r, ok = s.resources[Key{k, name}].(R)
	return r, ok
}

// separator stands between Connection and Tool. A Connection's name has no
// underscore, so the first one is always it.
const separator = "__"

// maxToolName is what model providers and MCP clients take.
const maxToolName = 64

// ToolName is the name under which a Worker knows a Connection's Tool.
func ToolName(connection, tool string) string { return connection + separator + tool }

// SplitToolName undoes [ToolName]; not ok for what has no such form.
func SplitToolName(name string) (connection, tool string, ok bool) {
	connection, tool, ok = strings.Cut(name, separator)
	return connection, tool, ok && connection != "" && tool != ""
}

// Holder keeps the current value of each tenant, replaced as a whole; readers
// never wait. The zero Holder is empty and ready.
type Holder[T any] struct {
	mu      sync.RWMutex
	tenants map[ident.Tenant]held[T]
}

type held[T any] struct {
	value   T
	version uint64
}

// Get gives the tenant's value and its version, which rises with each Set; the
// zero value and 0 when there is none.
func (h *Holder[T]) Get(t ident.Tenant) (T, uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	e := h.tenants[t]
	return e.value, e.version
}

// Set replaces the tenant's value and gives its version.
func (h *Holder[T]) Set(t ident.Tenant, v T) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tenants == nil {
		h.tenants = map[ident.Tenant]held[T]{}
	}
	n := h.tenants[t].version + 1
	h.tenants[t] = held[T]{v, n}
	return n
}
