package vault_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/audit"
)

const stopped = "its Run was stopped"

// The stop is durable, the backend can't be reached, and the server dies. What it has
// left is revoked by the next one, which finds it on record.
func TestWhatWasStoppedIsRevokedAlsoAfterACrash(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.as(acme, "run_two")
	b.over["run_one"] = stopped
	b.Answer(503)
	b.tend()
	if left, err := b.LeasesLeft(t.Context(), acme); err != nil || len(left) != 1 || left[0].Run != "run_one" || left[0].Why != stopped {
		t.Fatalf("%+v, %v", left, err)
	}
	b.restart()
	b.pass(2 * time.Second)
	b.Answer(0)
	b.tend()
	b.want(0, 0, 0)
	for _, e := range b.entries(audit.LeaseRevoked) {
		if (e.Fields["why"] == stopped) != (e.Run == "run_one") {
			t.Errorf("on record: %v", e)
		}
	}
}

func TestWhatIsResumedHasAnotherCredentialMade(t *testing.T) {
	b := openBank(t, nil)
	first, password := b.as(acme, "run_one")
	b.over["run_one"] = stopped
	b.tend()
	b.want(0, 0, 0)
	delete(b.over, "run_one")
	if second, _ := b.as(acme, "run_one"); second == first || b.Knows(first, password) {
		t.Error("the one from before the stop is used")
	}
	b.tend()
	b.want(1, 1, 1)
}

// A stop doesn't wait for the two minutes of one that was replaced.
func TestAStopTakesAlsoWhatWasReplaced(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.RevokeAll()
	b.pass(4 * time.Second)
	b.refusedLogin("run_one")
	b.as(acme, "run_one")
	b.over["run_one"] = stopped
	b.tend()
	b.want(0, 0, 0)
}

// Who changes a Secret waits for no round.
func TestAChangeOfASecretHasItsCredentialsLookedAt(t *testing.T) {
	for what, change := range map[string]func(*bank) error{
		"disabled": func(b *bank) error { _, err := b.Disable(t.Context(), acme, "db", 1, admin(acme)); return err },
		"removed":  func(b *bank) error { return b.Remove(t.Context(), acme, "db", admin(acme)) },
	} {
		b := openBank(t, nil)
		b.as(acme, "run_one")
		was := b.kicks.Load()
		if err := change(b); err != nil {
			t.Fatal(what, err)
		}
		if b.kicks.Load() == was {
			t.Errorf("%s: they are not looked at", what)
		}
		b.tend()
		b.want(0, 0, 0)
	}
}
