// Package vaultkv is the key-value engine of Vault and OpenBao, versions 1 and 2.
//
// It refuses an answer that is not of that engine, of another version than was asked
// for, or destroyed; and to write over anything: of version 2 with check-and-set,
// and of version 1, which has none, not at all.
//
// # Security
//
// An answer of this engine does not say which path it is of: that it is the right
// one is what TLS, the token and the mount say. A version is checked where the engine
// has them.
package vaultkv

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bao"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
)

// Config says which engine of which server.
type Config struct {
	bao.Config `yaml:",inline"`
	// Mount is the engine's path, "secret" when empty.
	Mount string `yaml:"mount,omitempty"`
	// Engine is its version, 1 or 2; 2 when 0.
	Engine int `yaml:"engine,omitempty"`
	// Write says that "secret move" may make new values there.
	Write bool `yaml:"write,omitempty"`
}

// The ways to sign in; see package bao.
type (
	AppRole     = bao.AppRole
	JWT         = bao.JWT
	Certificate = bao.Certificate
)

// kv is one engine.
type kv struct {
	server *bao.Server
	mount  string
	engine int
}

// writer is one that takes values.
type writer struct{ kv }

// New checks the configuration. It asks the server nothing.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	bad := func(msg string) error {
		return fault.New(fault.Invalid, "the Vault server's "+msg).WithHint("docs/bring-your-own-vault.md has an example")
	}
	if c.Mount == "" {
		c.Mount = "secret"
	}
	if c.Engine == 0 {
		c.Engine = 2
	}
	switch {
	case !bao.Path.MatchString(c.Mount):
		return nil, bad("mount is not a path of plain words")
	case c.Engine != 1 && c.Engine != 2:
		return nil, bad("engine is not 1 or 2")
	case c.Write && c.Engine == 1:
		return nil, bad("engine 1 takes no values: it would write over what is there")
	}
	s, err := bao.New(c.Config, now)
	if err != nil {
		return nil, err
	}
	k := kv{s, c.Mount, c.Engine}
	if c.Write {
		return writer{k}, nil
	}
	return k, nil
}

// Named says that there are named fields at a path.
func (kv) Named() bool { return true }

// Check takes a version of engine 2 alone, which is a number.
func (k kv) Check(a backend.Ask) error {
	if strings.HasPrefix(a.Path, "/") || strings.HasSuffix(a.Path, "/") {
		return fault.New(fault.Invalid, "a path of the key-value engine begins and ends without a slash").
			WithHint("%s", neither+fault.Quote(k.Meant(a.Path)))
	}
	if a.Version == "" {
		return nil
	}
	if n, err := strconv.Atoi(a.Version); err != nil || n < 1 || strconv.Itoa(n) != a.Version || k.engine == 1 {
		return fault.New(fault.Invalid, "a version of the key-value engine is a number from 1; engine 1 has none")
	}
	return nil
}

// Ready looks at the files of the sign-in.
func (k kv) Ready() error { return k.server.Ready() }

// Enter signs in, and asks which engine is at the mount.
func (k kv) Enter(ctx context.Context) (string, error) {
	m, err := k.server.Enter(ctx, k.mount)
	if err != nil {
		return "", err
	}
	if m.Type != "" && (k.engine == 2) != (m.KV() == 2) { // other engines answer as version 1 does
		return "", backend.Fail(backend.Wrong, "the sign-in is taken, and at the mount "+k.mount+" is another engine than the key-value engine, version "+strconv.Itoa(k.engine)).
			WithHint("set the backend's mount and engine to what is there")
	}
	return m.Did(k.mount), nil
}

// neither is what is said of a path that is one of the server's API.
const neither = "a path has neither the mount nor data/ in it: try "

// Meant is a path without what the server's own API has in it, and the pointer hasn't:
// what somebody who copied it from there has meant.
func (k kv) Meant(path string) string {
	out := strings.Trim(path, "/")
	out = strings.TrimPrefix(out, k.mount+"/")
	if k.engine == 2 {
		out = strings.TrimPrefix(out, "data/")
	}
	return out
}

// Fetch reads one version.
func (k kv) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	path := k.mount + "/" + a.Path
	if k.engine == 2 {
		path = k.mount + "/data/" + a.Path
		if a.Version != "" {
			path += "?version=" + a.Version
		}
	}
	got, err := k.server.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if err := k.server.Judge(path, got); err != nil {
		if r := backend.ReasonOf(err); (r == backend.Refused || r == backend.Missing) && k.Meant(a.Path) != a.Path {
			err = backend.FailOf(r, "", err).WithHint(neither + k.Meant(a.Path))
		}
		return out, err
	}
	plain.Do(func() {
		if k.engine == 2 {
			out, err = second(got.Body, a.Version)
		} else {
			out, err = first(got.Body)
		}
	})
	return out, err
}

func wrong() error {
	return backend.Fail(backend.Wrong, "the Vault server's answer is not of the key-value engine that is configured").
		WithHint("check the backend's mount and engine")
}

// plainAnswer gives data, of an answer that is one of the engine: not a token, nothing
// that is wrapped, no lease.
func plainAnswer(raw []byte) (map[string][]byte, []byte, error) {
	m, err := object.Members(raw)
	if err != nil || !empty(m["auth"]) || !empty(m["wrap_info"]) || !empty(m["lease_id"]) {
		return nil, nil, wrong()
	}
	return m, m["data"], nil
}

func empty(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" || string(raw) == `""` }

// second reads an answer of engine 2.
func second(raw []byte, want string) (out backend.Answer, err error) {
	_, data, err := plainAnswer(raw)
	if err != nil {
		return out, err
	}
	meta, err := object.Inside(data, "metadata")
	if err != nil {
		return out, wrong()
	}
	n, ok := object.Number(meta["version"])
	if !ok || n < 1 || want != "" && strconv.FormatInt(n, 10) != want {
		return out, backend.Fail(backend.Wrong, "the Vault server's answer is of another version than was asked for")
	}
	if string(meta["destroyed"]) == "true" || !empty(meta["deletion_time"]) && !later(meta["deletion_time"]) {
		return out, backend.Fail(backend.Missing, "the version was deleted in the Vault server")
	}
	m, err := object.Members(data)
	if err == nil {
		out.Fields, err = object.Fields(m["data"])
	}
	if err != nil {
		return out, wrong()
	}
	out.Version = strconv.FormatInt(n, 10)
	if t, err := time.Parse(time.RFC3339Nano, object.Word(meta["deletion_time"])); err == nil {
		out.NotAfter = t // the engine deletes it then
	}
	return out, nil
}

// later reports whether a version is to be deleted at a time that can be told; the
// vault compares it with its clock.
func later(raw []byte) bool {
	_, err := time.Parse(time.RFC3339Nano, object.Word(raw))
	return err == nil
}

// first reads an answer of engine 1. One of engine 2 has a member "metadata" with a
// number, and its own "data".
func first(raw []byte) (out backend.Answer, err error) {
	_, data, err := plainAnswer(raw)
	if err != nil {
		return out, err
	}
	if out.Fields, err = object.Fields(data); err != nil {
		return out, wrong()
	}
	return out, nil
}

// Create writes the first version at a path that has none.
func (w writer) Create(ctx context.Context, path string, fields map[string]plain.Value) error {
	size := 100
	for name, v := range fields {
		size += 6*(len(name)+len(plain.Bytes(v))) + 10
	}
	body, ok := append(make([]byte, 0, size), `{"options":{"cas":0},"data":{`...), true
	defer func() { clear(body) }()
	for i, name := range names(fields) {
		if i > 0 {
			body = append(body, ',')
		}
		var fine [2]bool
		body, fine[0] = object.Append(body, []byte(name))
		body, fine[1] = object.Append(append(body, ':'), plain.Bytes(fields[name]))
		ok = ok && fine[0] && fine[1] && name != backend.Whole
	}
	if !ok {
		return fault.New(fault.Invalid, "the key-value engine takes named fields of UTF-8 text alone")
	}
	body = append(body, "}}"...)
	a, err := w.server.Do(ctx, http.MethodPost, w.mount+"/data/"+path, body)
	if err != nil {
		return err
	}
	defer clear(a.Body)
	// Check-and-set is answered by 400; what else that could be is told by the next
	// read. A policy that lets us create and not update answers 403 before that.
	if a.Status == http.StatusBadRequest || a.Status == http.StatusForbidden && w.was(ctx, path) {
		return backend.Fail(backend.Taken, "something is or was at the path, or the Vault server does not take it").
			WithHint("what is there is not written over, nor a version after a deleted one: name another path")
	}
	return w.server.Judge(w.mount+"/data/"+path, a)
}

// was reports whether there is something at a path, or a version of it that was
// deleted or destroyed: the answer to that has the version's metadata.
func (w writer) was(ctx context.Context, path string) bool {
	a, err := w.server.Do(ctx, http.MethodGet, w.mount+"/data/"+path, nil)
	if err != nil {
		return false
	}
	defer clear(a.Body)
	data, err := object.Inside(a.Body, "data")
	return err == nil && !empty(data["metadata"])
}

func names(fields map[string]plain.Value) []string {
	var out []string
	for name := range fields {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
