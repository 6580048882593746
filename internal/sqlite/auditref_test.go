package sqlite_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

// began is when the first call was.
var began = noon.Add(-100 * time.Hour)

// call is the entries of one write: claimed, sending, and its outcome.
func call(i int) []audit.Event {
	digest := strings.Repeat("0", 63) + "1"
	ev := func(t audit.Type, fields map[string]any) audit.Event {
		for k, v := range map[string]any{"system": fmt.Sprintf("system-%d", i%5), "starter": fmt.Sprintf("person:acc_%d", i%50), "secret": fmt.Sprintf("key-%d", i%10), "digest": digest} {
			fields[k] = v
		}
		return audit.Event{Type: t, Tenant: "acme", At: began.Add(time.Duration(i) * time.Second), Actor: fmt.Sprintf("run:run_%d", i/10), Run: fmt.Sprintf("run_%d", i/10),
			Mission: "onboard", Intent: fmt.Sprintf("int_%d", i), Connection: fmt.Sprintf("erp-%d", i%10), Tool: "updateVendor", Fields: fields}
	}
	record := fmt.Sprintf("V-%d", i%1000)
	return []audit.Event{
		ev(audit.IntentClaimed, map[string]any{"args": digest, "effect": "write", "fence": 1, "secretVersion": 3, "record": record, "worker": "outside", "auth": "run-token",
			"approvers": []string{fmt.Sprintf("acc_a%d", i%7)}, "decision": fmt.Sprintf("dec_%d", i), "policies": []string{"default/writes"}}),
		ev(audit.IntentSending, map[string]any{"fence": 1, "attempt": "proc_1"}),
		ev(audit.IntentOutcome, map[string]any{"state": "COMMITTED", "status": 200, "record": record, "worker": "outside"}),
	}
}

// calls brings a log from so many calls to so many.
func calls(t testing.TB, s *sqlite.Store, from, to int) {
	t.Helper()
	for from < to {
		var evs []audit.Event
		for ; from < to && len(evs) < 3000; from++ {
			evs = append(evs, call(from)...)
		}
		record(t, s, evs...)
	}
}

func asked(t testing.TB, s *sqlite.Store, q audit.Query) audit.Answer {
	t.Helper()
	a, err := audit.Ask(t.Context(), s.Audit().(audit.Index), "acme", q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhoChangedThisRecordWithWhichCredential(t *testing.T) {
	s := open(t, t.TempDir())
	calls(t, s, 0, 1200)
	a := asked(t, s, audit.Query{Record: "V-17"})
	if len(a.Uses) != 2 || a.Next != 0 {
		t.Fatalf("%+v", a)
	}
	u := a.Uses[0]
	if u.Intent != "int_1017" || u.Secret != "key-7" || u.Version != 3 || u.Worker != "outside" || u.Starter != "person:acc_17" || u.System != "system-2" ||
		u.Outcome != "COMMITTED" || !slices.Equal(u.Approvers, []string{"acc_a2"}) || len(u.Entries) != 3 || u.Connection != "erp-7" || a.Uses[1].Intent != "int_17" {
		t.Errorf("%+v", u)
	}
	for name, c := range map[string]struct {
		q    audit.Query
		want int
	}{
		"a Run":                  {audit.Query{Run: "run_3"}, 10},
		"who started":            {audit.Query{Person: "acc_17", System: "system-2", Limit: 200}, 24},
		"who approved":           {audit.Query{Person: "acc_a2", Record: "V-17"}, 1},
		"a Secret, in time":      {audit.Query{Secret: "key-7", Since: began.Add(100 * time.Second), Until: began.Add(120 * time.Second)}, 2},
		"two that never meet":    {audit.Query{Secret: "key-7", Connection: "erp-8"}, 0},
		"a type":                 {audit.Query{Type: audit.IntentOutcome, Record: "V-999"}, 1},
		"an Intent":              {audit.Query{Intent: "int_5"}, 1},
		"a Decision":             {audit.Query{Decision: "dec_5"}, 1},
		"what never was":         {audit.Query{Record: "V-1000000"}, 0},
		"a name as a condition":  {audit.Query{Record: "' OR 1=1 --"}, 0},
		"another's private name": {audit.Query{Record: "V-x", HiddenRecord: strings.Repeat("0", 64)}, 0},
	} {
		if a := asked(t, s, c.q); len(a.Uses) != c.want || a.Next != 0 {
			t.Errorf("%s: %d of %d, next %d", name, len(a.Uses), c.want, a.Next)
		}
	}
	seen := map[string]bool{}
	for q := (audit.Query{Tool: "updateVendor", Limit: 101}); ; {
		a := asked(t, s, q)
		for _, u := range a.Uses {
			if seen[u.Intent] {
				t.Fatalf("%s comes twice", u.Intent)
			}
			seen[u.Intent] = true
		}
		if q.Before = a.Next; a.Next == 0 {
			break
		}
	}
	if len(seen) != 1200 {
		t.Errorf("page by page there are %d calls", len(seen))
	}
	if _, err := audit.Ask(t.Context(), s.Audit().(audit.Index), "acme", audit.Query{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a query for nothing: %v", err)
	}
	if a, err := audit.Ask(t.Context(), s.Audit().(audit.Index), "other", audit.Query{Record: "V-17"}); err != nil || len(a.Uses) != 0 {
		t.Errorf("another tenant sees %+v, %v", a, err)
	}
}

// Attack: who writes the database takes a reference away, so that a query does not
// find the entry, or puts one in.
func TestAnIndexThatHidesAnEntryIsFoundAndMadeAnew(t *testing.T) {
	for name, attack := range map[string]string{
		"removed": `DELETE FROM audit_ref WHERE kind = 'record' AND value = 'V-3'`,
		"moved":   `UPDATE audit_ref SET value = 'V-4' WHERE kind = 'record' AND value = 'V-3'`,
		"put in":  `INSERT INTO audit_ref VALUES ('acme', 'record', 'V-3', 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			calls(t, s, 0, 10)
			if err := s.Write(t.Context(), func(tx *sqlite.Tx) error { _, err := tx.Exec(attack); return err }); err != nil {
				t.Fatal(err)
			}
			if a := asked(t, s, audit.Query{Record: "V-3"}); name == "put in" && len(a.Uses) != 1 {
				t.Errorf("%+v", a)
			}
			check := func() []audit.Finding {
				src, err := sqlite.OpenAudit(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = src.Close() }()
				rep, err := audit.Verify(t.Context(), src, audit.VerifyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return rep.Findings()
			}
			if f := check(); len(f) != 1 || f[0].Kind != audit.IndexAltered {
				t.Errorf("found %v", f)
			}
			if err := s.ReindexAudit(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			if f := check(); len(f) != 0 {
				t.Errorf("after it was made anew: %v", f)
			}
			if a := asked(t, s, audit.Query{Record: "V-3"}); len(a.Uses) != 1 {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestQueriesOfAMillionEntries measures. "make audit-bench" runs it.
func TestQueriesOfAMillionEntriesTakeLessThanATenthOfASecond(t *testing.T) {
	many, err := strconv.Atoi(os.Getenv(envEntries))
	if err != nil {
		t.Skipf("%s says how many entries", envEntries)
	}
	s := open(t, t.TempDir())
	queries := []struct {
		name string
		q    audit.Query
	}{
		{"a record", audit.Query{Record: "V-17"}}, {"a Secret", audit.Query{Secret: "key-7"}}, {"a Run", audit.Query{Run: "run_3"}}, {"a person", audit.Query{Person: "acc_17"}},
		{"a system", audit.Query{System: "system-2"}}, {"a minute", audit.Query{Since: began.Add(time.Hour), Until: began.Add(time.Hour + time.Minute)}},
		{"a record and a Secret", audit.Query{Record: "V-17", Secret: "key-7"}}, {"two common ones that never meet", audit.Query{Secret: "key-7", Connection: "erp-8"}},
		{"a Mission and a Tool", audit.Query{Mission: "onboard", Tool: "updateVendor"}}, {"a Secret in an hour long ago", audit.Query{Secret: "key-7", Since: began.Add(time.Minute), Until: began.Add(30 * time.Minute)}},
	}
	const few = 10_000
	took := map[int]map[string]time.Duration{few: {}, many: {}}
	from := 0
	for _, n := range []int{few, many} {
		begin := time.Now()
		calls(t, s, from, n/3)
		t.Logf("%d more calls of three entries in %s", n/3-from, time.Since(begin).Round(time.Millisecond))
		from = n / 3
		for _, q := range queries {
			asked(t, s, q.q)
			var all []time.Duration
			for range 11 {
				begin := time.Now()
				asked(t, s, q.q)
				all = append(all, time.Since(begin))
			}
			slices.Sort(all)
			took[n][q.name] = all[len(all)/2]
		}
	}
	for _, q := range queries {
		small, large := took[few][q.name], took[many][q.name]
		t.Logf("%-34s %8s at %d, %8s at %d, time x %.1f", q.name, small.Round(10*time.Microsecond), few, large.Round(10*time.Microsecond), many, float64(large)/float64(small))
		if large > 100*time.Millisecond {
			t.Errorf("%s takes %s", q.name, large)
		}
	}
}
