package vault_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
)

func TestABackendIsAskedByHandAtMostOnceInFiveSeconds(t *testing.T) {
	b := openBank(t, nil)
	logins := b.Count("auth/approle/login")
	got, err := b.AskBackend(t.Context(), acme, "pg", admin(acme))
	if err != nil || !got.OK || !strings.Contains(got.Did, "the mount database is there") {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := b.Count("auth/approle/login") - logins; n != 1 || b.Children() != 0 {
		t.Errorf("it has signed in %d times, and %d tokens are left", n, b.Children())
	}
	made := b.Count("database/")
	for range 20 {
		if _, err := b.AskBackend(t.Context(), globex, "pg", admin(globex)); !fault.Is(err, fault.Limit) {
			t.Fatalf("another tenant's question a moment later: %v", err)
		}
	}
	if n := b.Count("auth/approle/login") - logins; n != 1 {
		t.Errorf("a flood has signed in %d times", n)
	}
	b.pass(5 * time.Second)
	b.SecretID = "changed-at-the-server"
	got, err = b.AskBackend(t.Context(), acme, "pg", admin(acme))
	if err != nil || got.OK || got.Why != backend.Refused || !strings.Contains(got.Said, "refuses the sign-in") || !strings.Contains(got.Hint, "auth/approle/login") {
		t.Errorf("with a secret id that has ended: %+v, %v", got, err)
	}
	if b.Count("database/") != made {
		t.Error("a credential was made for the question")
	}
	if s := b.state(acme); s.State != "answers" {
		t.Errorf("what uses have heard is %+v", s)
	}
	if _, err := b.AskBackend(t.Context(), acme, "nothing", admin(acme)); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a backend that there is not: %v", err)
	}
	if _, err := b.AskBackend(t.Context(), acme, "pg", admin(globex)); err == nil {
		t.Error("somebody of another tenant was answered")
	}
}

func TestATrialLeavesTheCredentialsOfRunsAlone(t *testing.T) {
	b := openBank(t, nil)
	user, password := b.as(acme, "run_one")
	if got, err := b.AskBackend(t.Context(), acme, "pg", admin(acme)); err != nil || !got.OK {
		t.Fatalf("%+v, %v", got, err)
	}
	if !b.Knows(user, password) {
		t.Error("the Run's credential ended with the trial's sign-in")
	}
	b.pass(25 * time.Minute)
	b.tend()
	if again, _ := b.as(acme, "run_one"); again != user {
		t.Error("it was not renewed after the trial")
	}
}
