package vault_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// shelf is a backend in memory.
type shelf struct {
	mu      sync.Mutex
	values  map[string]map[string]string
	version string // of every answer; empty: the backend has none
	end     time.Time
	lease   string
	err     error
	wait    chan struct{} // closed: answer
	asked   int
	created int
}

func (s *shelf) Named() bool             { return true }
func (s *shelf) Check(backend.Ask) error { return nil }

func (s *shelf) Fetch(ctx context.Context, a backend.Ask) (backend.Answer, error) {
	s.mu.Lock()
	s.asked++
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return backend.Answer{}, backend.Fail(backend.Away, "it took too long")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return backend.Answer{}, s.err
	}
	there, ok := s.values[a.Path]
	if !ok {
		return backend.Answer{}, backend.Fail(backend.Missing, "there is nothing at the path")
	}
	out := backend.Answer{Fields: map[string]plain.Value{}, Version: s.version, NotAfter: s.end, Lease: backend.Lease{ID: s.lease}}
	for k, v := range there {
		out.Fields[k] = plain.New([]byte(v))
	}
	return out, nil
}

// writable is a shelf that takes values.
type writable struct{ *shelf }

func (s writable) Create(_ context.Context, path string, fields map[string]plain.Value) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values[path] != nil {
		return backend.Fail(backend.Taken, "something is there")
	}
	s.values[path] = map[string]string{}
	for k, v := range fields {
		s.values[path][k] = string(plain.Bytes(v))
	}
	s.created++
	return nil
}

func (s *shelf) put(path, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[path] = map[string]string{"value": value}
}

func (s *shelf) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// withShelf is a vault with the backends "corp", which takes no value, and "open",
// which does, over the same values; both are acme's.
func withShelf(t testing.TB) (*fixture, *shelf) {
	t.Helper()
	s := &shelf{values: map[string]map[string]string{"team/crm": {"value": canary1}}}
	reg, err := backend.NewRegistry(
		backend.Entry{Name: "corp", Tenants: []ident.Tenant{acme}, Paths: []string{"team/"}, Backend: s},
		backend.Entry{Name: "open", Tenants: []ident.Tenant{acme}, Backend: writable{s}})
	if err != nil {
		t.Fatal(err)
	}
	f := startWith(t, reg)
	return f, s
}

func to(name, path string, staleness time.Duration) *vault.Pointer {
	return &vault.Pointer{Backend: name, Path: path, Fields: map[string]string{"token": "value"}, Staleness: resource.Duration(staleness)}
}

func (f *fixture) point(t ident.Tenant, name string, p *vault.Pointer) error {
	w := vault.Write{Tenant: t, Name: name, Pointer: p, AnyOrigin: true, Actor: admin(t)}
	_, err := f.Set(f.t.Context(), w)
	return err
}

func (f *fixture) mustPoint(name string, p *vault.Pointer) {
	f.t.Helper()
	if err := f.point(acme, name, p); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) scrubs(t ident.Tenant, value string) bool {
	return len(f.Scrub(t).Contains([]byte("it says "+value+" here"))) > 0
}
