package backend

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
)

// Entry is a backend as the server's own file has it.
type Entry struct {
	Name    string         // by which pointers name it
	Tenants []ident.Tenant // whose Secrets may point to it
	// Paths are what they may point to: the path itself, or all below it. Empty:
	// whatever the backend gives. Who may store Secrets and not read the backend
	// would otherwise have all that the server can read there sent to a system of
	// their own.
	Paths   []string
	Backend Backend
	Kind    string // what it is, for people
	// MaxLeases is how many values it may have made for Runs at a time, of a Lessor; 0:
	// DefaultMaxLeases. The tenants have equal shares, so that none takes another's.
	MaxLeases int
	// HookFile has the key of who may tell that something has changed there; empty:
	// nobody may.
	HookFile string
}

// The bounds of what a Lessor makes at a time. All that a tenant has is looked at when
// another is made, so there is an end to what can be asked for.
const (
	DefaultMaxLeases = 256
	mostLeases       = 4096
)

// Registry is all of the file. A nil one is empty.
type Registry struct{ entries map[string]Entry }

// NewRegistry checks the entries. Invalid: a name is none or there twice, or an
// entry is nobody's.
func NewRegistry(entries ...Entry) (*Registry, error) {
	r := &Registry{entries: map[string]Entry{}}
	for _, e := range entries {
		if err := ident.CheckName(e.Name); err != nil {
			return nil, fault.Wrap(fault.Invalid, "the name of a backend", err)
		}
		if _, twice := r.entries[e.Name]; twice {
			return nil, fault.Newf(fault.Invalid, "the backend %s is there twice", e.Name)
		}
		if len(e.Tenants) == 0 || e.Backend == nil {
			return nil, fault.Newf(fault.Invalid, "the backend %s is of no tenant", e.Name)
		}
		for _, p := range e.Paths {
			if err := CheckPath(strings.TrimSuffix(p, "/")); err != nil {
				return nil, fault.Wrap(fault.Invalid, "the paths of the backend "+e.Name, err)
			}
		}
		if err := e.bound(); err != nil {
			return nil, err
		}
		r.entries[e.Name] = e
	}
	return r, nil
}

// bound checks how many values a backend may make, and fills in the default.
func (e *Entry) bound() error {
	_, makes := e.Backend.(Lessor)
	tenants := len(e.owners())
	switch {
	case !makes && e.MaxLeases != 0:
		return fault.Newf(fault.Invalid, "the backend %s makes no values for Runs, so maxLeases bounds nothing", e.Name)
	case !makes:
		return nil
	case e.MaxLeases == 0:
		e.MaxLeases = DefaultMaxLeases
	}
	if e.MaxLeases < tenants || e.MaxLeases > mostLeases {
		return fault.Newf(fault.Invalid, "the backend %s may make %d values for Runs at a time: it is one for each of its %d tenants at least, and %d at most", e.Name, e.MaxLeases, tenants, mostLeases).
			WithHint("set maxLeases in the backend's entry")
	}
	return nil
}

// owners are the tenants, each once.
func (e *Entry) owners() []ident.Tenant {
	all := slices.Clone(e.Tenants)
	slices.Sort(all)
	return slices.Compact(all)
}

// Share is how many values a backend may have made for the Runs of each of its tenants
// at a time; 0: it makes none.
func (r *Registry) Share(name string) int {
	if r.Lessor(name) == nil {
		return 0
	}
	e := r.entries[name]
	return e.MaxLeases / len(e.owners())
}

// Find gives a tenant's backend, for a question that it may be asked. NotFound:
// the tenant has none of the name, which is all that another tenant learns.
// Denied: the path is not one of those that Secrets may point to.
func (r *Registry) Find(t ident.Tenant, name string, a Ask) (Backend, error) {
	var e Entry
	if r != nil {
		e = r.entries[name]
	}
	if e.Backend == nil || !slices.Contains(e.Tenants, t) {
		return nil, fault.Newf(fault.NotFound, "there is no backend %s", fault.Quote(name)).
			WithHint("backends are in the file that the server is started with: serve --backends")
	}
	if err := CheckPath(a.Path); err != nil {
		return nil, err
	}
	if err := CheckVersion(a.Version); err != nil {
		return nil, err
	}
	if err := e.Backend.Check(a); err != nil {
		return nil, err
	}
	if !e.has(a.Path) {
		return nil, e.unbound(a.Path)
	}
	return e.Backend, nil
}

// unbound is the error of a path that the entry doesn't have.
func (e *Entry) unbound(path string) error {
	err := fault.Newf(fault.Denied, "Secrets may not point to this path of the backend %s", e.Name)
	if b, ok := e.Backend.(interface{ Meant(path string) string }); ok {
		if m := b.Meant(path); m != path && e.has(m) {
			return err.WithHint("a path has neither the mount nor data/ in it: try %s:%s", e.Name, m)
		}
	}
	return err.WithHint("the server's file says which: paths, in the backend's entry")
}

// has reports whether Secrets may point to a path.
func (e *Entry) has(path string) bool {
	return len(e.Paths) == 0 || slices.ContainsFunc(e.Paths, func(p string) bool { return below(p, path) })
}

// Of lists what a tenant's Secrets may point to, by name.
func (r *Registry) Of(t ident.Tenant) (out []Entry) {
	if r == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.entries)) {
		if e := r.entries[name]; slices.Contains(e.Tenants, t) {
			out = append(out, e)
		}
	}
	return out
}

// HookKey reads the key by which messages about a backend are signed; false: it has
// none, or it can't be read. The caller wipes it.
func (r *Registry) HookKey(name string) (plain.Value, bool) {
	if r == nil || r.entries[name].HookFile == "" {
		return plain.Value{}, false
	}
	key, err := safe.Credential(r.entries[name].HookFile)
	return plain.New(key), err == nil
}

// Lessor gives the backend of a name, where it makes values for Runs; else nil.
func (r *Registry) Lessor(name string) Lessor {
	if r == nil {
		return nil
	}
	l, _ := r.entries[name].Backend.(Lessor)
	return l
}

// below reports whether a path is p or under it; one with a slash at its end is no
// path itself.
func below(p, path string) bool {
	return path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/")
}

// OneValue makes fields of a backend's one value, which it takes over: all of it,
// and where that is a JSON object, its texts.
func OneValue(b []byte) map[string]plain.Value {
	fields, err := object.Fields(b)
	if err != nil {
		fields = map[string]plain.Value{}
	}
	delete(fields, Whole)
	fields[Whole] = plain.New(b)
	return fields
}

// ReadConfig reads the server's file on backends. It says where credentials are
// sent: Denied, where somebody else than root and we can change it, or put another
// one in its place.
func ReadConfig(path string) ([]byte, error) {
	b, err := safe.Config(path)
	return b, fault.Wrap(fault.KindOf(err), "reading the file on backends", err)
}

// JoinValue is what OneValue takes apart: the one value, or a JSON object of named
// ones. False: it is neither, or not UTF-8. The caller wipes it.
func JoinValue(fields map[string]plain.Value) ([]byte, bool) {
	if v, ok := fields[Whole]; ok {
		return bytes.Clone(plain.Bytes(v)), len(fields) == 1
	}
	size := 10
	for name, v := range fields {
		size += 6*(len(name)+len(plain.Bytes(v))) + 10
	}
	out := append(make([]byte, 0, size), '{') // never grown
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			out = append(out, ',')
		}
		var key, value bool
		out, key = object.Append(out, []byte(name))
		out, value = object.Append(append(out, ':'), plain.Bytes(fields[name]))
		if !key || !value {
			clear(out)
			return nil, false
		}
	}
	return append(out, '}'), true
}
