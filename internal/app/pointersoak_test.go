package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/local"
)

// It must see inside, as the soak of rotations.

// elsewhere is a vault that somebody else rotates: a directory, with or without
// telling of it.
type elsewhere struct {
	backend.Backend
	dir string
	t   *testing.T
	mu  sync.Mutex
	say func(backend.Sight)
}

// quiet is one that tells nothing.
type quiet struct{ backend.Backend }

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	dir := t.TempDir()
	files, err := local.NewFiles(local.Files{Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	return &elsewhere{Backend: files, dir: dir, t: t}
}

func (e *elsewhere) Watch(ctx context.Context, _ string, tell func(backend.Sight)) error {
	e.mu.Lock()
	e.say = tell
	e.mu.Unlock()
	tell(backend.Began)
	<-ctx.Done()
	return nil
}

// put replaces the value.
func (e *elsewhere) put(value string) {
	e.t.Helper()
	next := filepath.Join(e.dir, "crm.next")
	if err := os.WriteFile(next, []byte(value), 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(e.dir, "crm")); err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.say != nil {
		e.say(backend.Changed)
	}
}

// used waits until so many calls came with the key as there are clients: a vault that
// rotates faster than a call is made refuses any of them.
func (k *keyring) used(t *testing.T, key string) {
	t.Helper()
	look, late := time.NewTicker(5*time.Millisecond), time.NewTimer(time.Minute)
	defer look.Stop()
	defer late.Stop()
	for {
		k.mu.Lock()
		n := k.good[key]
		k.mu.Unlock()
		if n >= soakClients {
			return
		}
		select {
		case <-look.C:
		case <-late.C:
			t.Fatal("the new value is not used")
		}
	}
}

// turn makes the next key, as somebody else's rotation does: the system is told first.
func (k *keyring) turn(e *elsewhere, grace time.Duration) {
	k.mu.Lock()
	k.n++
	key := fmt.Sprintf("soak-%d-Zq83mPw0vXr5", k.n)
	if grace == 0 {
		clear(k.live)
	}
	k.live[key] = "k"
	k.mu.Unlock()
	e.put(key)
	if grace > 0 {
		<-time.After(grace)
		k.mu.Lock()
		clear(k.live)
		k.live[key] = "k"
		k.mu.Unlock()
	}
	k.used(e.t, key)
}

// A vault elsewhere rotates a value under clients that call, and nobody tells the
// server but a watch, or the system that refuses the old one: no call fails.
func TestNoCallFailsWhileAVaultElsewhereRotates(t *testing.T) {
	for when, grace := range map[string]time.Duration{"refused at once": 0, "after a grace": 100 * time.Millisecond} {
		for how, watched := range map[string]bool{"watched": true, "unwatched": false} {
			t.Run(when+", "+how, func(t *testing.T) {
				e, k := newElsewhere(t), newKeyring(t, false, grace == 0)
				var b backend.Backend = e
				if !watched {
					b = quiet{e.Backend}
				}
				s := newSoak(t, backend.Entry{Name: "corp", Tenants: []ident.Tenant{"acme"}, Backend: b})
				e.put("soak-first-Zq83mPw0vXr5")
				_, err := s.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "crm", Scope: &vault.Scope{Origins: []string{k.URL}}, Actor: soakAs,
					Pointer: &vault.Pointer{Backend: "corp", Path: "crm", Fields: map[string]string{"token": ""}, Staleness: resource.Duration(24 * time.Hour)}})
				s.must(err)
				s.connect(k, resource.Auth{Scheme: resource.SchemeBearer})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { s.Vault.Watch(ctx) })
				defer wg.Wait()
				defer cancel()
				n := soakRotations()
				s.during(s.run(), func() {
					k.used(t, "soak-first-Zq83mPw0vXr5")
					for range n {
						k.turn(e, grace)
					}
				})
				rows, err := s.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.IntentReopened}, 0, 1_000_000)
				s.must(err)
				t.Logf("%d calls by %d clients, %d rotations, %d answers of 401, %d calls made again", s.calls.Load(), soakClients, n, k.said.Load(), len(rows))
				if !watched && len(rows) == 0 {
					t.Error("nothing was made again, and nobody told of the change")
				}
			})
		}
	}
}
