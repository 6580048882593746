package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

func TestOldKeysAreNoticedAndLeftAsTheyAre(t *testing.T) {
	s := newSite(t)
	s.must(s.start(func(c *app.Config) { c.Seals = []kek.Seal{s.key()} }))
	_, err := s.app.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "erp", Actor: me, Fields: map[string][]byte{"token": []byte(canary)}})
	s.must(err)
	s.stop()
	if strings.Contains(s.log.String(), "due for a rotation") {
		t.Error("new keys are called old")
	}
	later := time.Now().Add(91 * 24 * time.Hour)
	s.must(s.start(func(c *app.Config) { c.Seals, c.Now = []kek.Seal{s.key()}, func() time.Time { return later } }))
	k, err := s.app.Vault.Keys("acme")
	s.must(err)
	s.stop() // which waits for what looks at them
	if n := strings.Count(s.log.String(), "due for a rotation"); n != 2 || k.Generation != 1 || k.Term != 1 {
		t.Errorf("%d are noticed, of %+v\n%s", n, k, &s.log)
	}
}

// A rotation is the program's: the client may leave, and the next one waits its turn.
func TestARotationGoesOnWithoutItsClient(t *testing.T) {
	s := newSite(t)
	s.must(s.start(func(c *app.Config) { c.Seals = []kek.Seal{s.key()} }))
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, _, err := s.app.Rotate(gone, []string{"root", "project", "data"}, me)
	s.must(err)
	for {
		if under, failed := s.app.Rotating(); under == "" {
			if failed != "" {
				t.Error(failed)
			}
			break
		} else if under != "all" {
			t.Fatalf("it rotates %q", under)
		}
		if _, _, err := s.app.Rotate(t.Context(), []string{"root"}, me); err != nil && !fault.Is(err, fault.Conflict) {
			t.Error(err)
		}
	}
	k, err := s.app.Vault.Keys("acme")
	if err != nil || k.Generation < 2 {
		t.Errorf("%+v, %v", k, err)
	}
	// What fails is remembered, until the next one.
	_, done, err := s.app.Rotate(t.Context(), []string{"project"}, me)
	if _, failed := s.app.Rotating(); !fault.Is(err, fault.NotFound) || !done || failed == "" {
		t.Errorf("without Secrets: %v, %t, %q", err, done, failed)
	}
	if _, done, err = s.app.Rotate(t.Context(), []string{"root"}, me); err != nil || !done {
		t.Error(err)
	}
	if _, failed := s.app.Rotating(); failed != "" {
		t.Errorf("it is remembered still: %q", failed)
	}
}
