package awssm_test

import (
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
)

func TestAKeyIsGotOnceForAllWhoWait(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	b := open(t, web(t, f), time.Now)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(f.assumed) != 1 {
		t.Errorf("STS was asked %d times", len(f.assumed))
	}
}

func TestAKeyIsGotAnewBeforeItEndsAndUsedWhileThereIsNoOther(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	f.life = 4 * time.Minute
	now := time.Now()
	b := open(t, web(t, f), func() time.Time { return now })
	for range 2 { // so near its end it is got anew each time
		if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.assumed) != 2 {
		t.Errorf("STS was asked %d times", len(f.assumed))
	}
	f.stsSays = "500 InternalFailure"
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
		t.Errorf("while STS can't answer: %v", err)
	}
	f.stsSays = "403 AccessDenied"
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("after STS has refused: %v", err)
	}
	f.stsSays, now = "500 InternalFailure", now.Add(5*time.Minute)
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Away {
		t.Errorf("after it has ended: %v", err)
	}
}
