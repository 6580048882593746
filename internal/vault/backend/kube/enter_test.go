package kube_test

import (
	"os"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
)

func TestATrialTellsATokenThatIsKnownFromOneThatIsNot(t *testing.T) {
	f, b := fake(t)
	to := b.(backend.Enterer)
	f.fault = backendtest.Refusing // a role without anything, and a token that is good
	if did, err := to.Enter(t.Context()); err != nil || !strings.Contains(did, "taken") {
		t.Errorf("%q, %v", did, err)
	}
	if err := os.WriteFile(f.file, []byte("another-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Enter(t.Context()); backend.ReasonOf(err) != backend.Refused || err == nil {
		t.Errorf("with another token: %v", err)
	}
	if err := os.Chmod(f.file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := to.Ready(); backend.ReasonOf(err) != backend.Refused || err == nil {
		t.Errorf("with a token that others can read: %v", err)
	}
}
