package app_test

import (
	"context"
	"os"
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

// What the status says of a passphrase is true after it has been let go of.
func TestAPassphraseAtHandIsKnownAfterTheStart(t *testing.T) {
	s := newSite(t)
	start := func(also ...kek.Seal) {
		t.Helper()
		p, err := kek.NewPassphrase([]byte(phrase))
		s.must(err)
		s.must(s.start(func(c *app.Config) { c.Seals = append(also, p) }))
	}
	hand := func() string {
		t.Helper()
		h, err := s.app.AtHand(t.Context())
		s.must(err)
		last := h[len(h)-1]
		if last.Kind != kek.KindPassphrase || last.With != nil || last.Unreachable {
			t.Errorf("at hand is %+v", h)
		}
		return last.Seal
	}
	start()
	infos, err := s.app.Vault.Seals()
	s.must(err)
	id := infos[0].ID
	if got := hand(); got != id || id == "" {
		t.Errorf("where it made the vault, it is %q", got)
	}
	_, err = s.app.Vault.AddSeal(t.Context(), s.key(), me)
	s.must(err)
	s.stop()
	start(s.key())
	if got := hand(); got != id {
		t.Errorf("where the key file unsealed, it is %q", got)
	}
	next, err := kek.NewPassphrase([]byte("the next passphrase of them"))
	s.must(err)
	_, err = s.app.Vault.RenewSeal(t.Context(), id, next, me)
	s.must(err)
	if got := hand(); got != "" {
		t.Errorf("once the seal has another passphrase, it is %q", got)
	}
}

func TestAKeyFileThatIsNoUseIsNamedInTheLog(t *testing.T) {
	s := newSite(t)
	s.must(s.start(func(c *app.Config) { c.Seals = []kek.Seal{s.key()} }))
	s.stop()
	if strings.Contains(s.log.String(), "unseals nothing") {
		t.Errorf("a good one is warned of\n%s", &s.log)
	}
	s.must(os.WriteFile(s.file("damaged.key"), []byte("{}"), 0o600))
	s.must(s.start(func(c *app.Config) {
		c.Seals = []kek.Seal{s.key(), kek.NewKeyFile(s.file("damaged.key")), kek.NewKeyFile(s.file("gone.key"))}
	}))
	s.stop()
	for _, name := range []string{"damaged.key", "gone.key"} {
		if !strings.Contains(s.log.String(), name) {
			t.Errorf("nothing is said of %s\n%s", name, &s.log)
		}
	}
	if n := strings.Count(s.log.String(), "unseals nothing"); n != 2 {
		t.Errorf("%d warnings\n%s", n, &s.log)
	}
}
