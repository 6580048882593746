package sqlite_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/storetest"
)

func TestEveryQueryOfTheQueueGoesThroughAnIndex(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	db := raw(t, dir)
	for name, query := range sqlite.QueueQueries() {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, query)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			scans := strings.HasPrefix(step, "SCAN") && step != "SCAN json_each VIRTUAL TABLE INDEX 1:" // of the page's own ids
			if scans || strings.Contains(step, "TEMP B-TREE FOR ORDER") || strings.Contains(step, "TEMP B-TREE FOR LAST") {
				t.Errorf("%s reads more than its page: %s\n%s", name, step, query)
			}
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}

// parkMany has n Decisions wait for a Team, by the store alone.
func parkMany(t *testing.T, s *sqlite.Store, n int) {
	t.Helper()
	for i := range n {
		run := fmt.Sprintf("run_many_%d", i/10)
		if i%10 == 0 {
			if _, err := s.CreateRun(t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: run, Mission: "m", Starter: "person:acc_x", Worker: intent.Outside,
				Input: []byte("{}"), State: intent.RunRunning, CreatedAt: noon}}); err != nil {
				t.Fatal(err)
			}
		}
		it := intent.Intent{Tenant: "acme", ID: ident.New("int"), Revision: 1, Run: run, Mission: "m", Connection: "erp-write", Tool: "pay", Effect: resource.Write,
			Args: fmt.Appendf(nil, `{"n":%d}`, i), State: intent.Parked, Digest: intent.SHA256(fmt.Append(nil, i)), CreatedAt: noon}
		d := decision.Decision{Tenant: "acme", ID: ident.New("dec"), Intent: it.ID, Revision: 1, Run: run, Mission: "m", Digest: it.Digest,
			Needs: []decision.Need{{Team: "finance", Count: 1}}, State: decision.Open, CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}
		if _, _, err := s.Propose(t.Context(), gate.Proposed{Intent: it, ArgsDigest: it.Digest, Decision: &d, MaxParked: 20, MaxCalls: 1000}); err != nil {
			t.Fatal(err)
		}
	}
}

// deskOver is a Desk over a store, of which nothing is asked but to list and expire.
func deskOver(t *testing.T, s *sqlite.Store) *decision.Desk {
	t.Helper()
	k, err := decision.NewDesk(decision.Config{Store: s, Papers: s, Facts: s, Involved: nobody{}, Clean: func(_ ident.Tenant, s string) string { return s },
		Known: func(ident.Tenant, ...[]byte) ([]string, error) { return nil, nil }, Hold: s.Hold, Now: func() time.Time { return noon }, Wake: func(ident.Tenant, string) {}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type nobody struct{}

func (nobody) Parties(context.Context, intent.Intent) (decision.Parties, error) {
	return decision.Parties{}, nil
}

// TestNothingIsHeldForWhatWaits parks two thousand, and counts what the process has
// for them: rows, and nothing else. One sweep ends all of them.
func TestNothingIsHeldForWhatWaits(t *testing.T) {
	s := open(t, t.TempDir())
	storetest.Teams(t, s, "finance")
	k := deskOver(t, s)
	parkMany(t, s, 10)
	if _, err := k.Queue(t.Context(), "acme", decision.Filter{State: decision.Open}); err != nil {
		t.Fatal(err)
	}
	goroutines, connections := runtime.NumGoroutine(), s.Connections()
	parkMany2 := 2000
	parkFrom(t, s, 10, parkMany2)
	if _, err := k.Queue(t.Context(), "acme", decision.Filter{State: decision.Open}); err != nil {
		t.Fatal(err)
	}
	if g, c := runtime.NumGoroutine(), s.Connections(); g > goroutines || c > connections {
		t.Errorf("with %d more that wait there are %d goroutines and %d connections, before %d and %d", parkMany2, g, c, goroutines, connections)
	}
	n, err := k.Expire(t.Context(), noon.Add(2*time.Hour))
	if err != nil || n != parkMany2+10 {
		t.Errorf("one sweep ended %d: %v", n, err)
	}
	if left, err := k.Queue(t.Context(), "acme", decision.Filter{State: decision.Open}); err != nil || len(left) != 0 {
		t.Errorf("%d wait still: %v", len(left), err)
	}
}
