package sqlite_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// traffic is a store in which each place has a word of its own.
type traffic struct {
	*sqlite.Store
	t   testing.TB
	now time.Time
}

func newTraffic(t testing.TB) *traffic {
	t.Helper()
	return &traffic{open(t, t.TempDir()), t, noon}
}

func (s *traffic) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// later moves the clock on: what is recorded then is newer.
func (s *traffic) later() time.Time { s.now = s.now.Add(time.Second); return s.now }

func (s *traffic) run(tenant ident.Tenant, id, input string) {
	s.t.Helper()
	b, err := json.Marshal(map[string]string{"field": input})
	s.must(err)
	_, err = s.CreateRun(s.t.Context(), gate.NewRun{Run: intent.Run{Tenant: tenant, ID: id, Mission: "m", Worker: intent.Outside, Input: b, State: intent.RunRunning, CreatedAt: s.later()}})
	s.must(err)
}

func (s *traffic) observe(tenant ident.Tenant, run, title, text, data string) {
	s.t.Helper()
	s.must(s.Observe(s.t.Context(), explain.Observation{Tenant: tenant, Run: run, At: s.later(), Kind: explain.Retrieval, Title: title, Text: text, Data: json.RawMessage(data)}))
}

// look searches for a word as it is.
func (s *traffic) look(tenant ident.Tenant, word string, limit int64) vault.Trace {
	s.t.Helper()
	found, err := s.Recorded(s.t.Context(), tenant, limit, func(b []byte) bool { return bytes.Contains(b, []byte(word)) })
	s.must(err)
	return found
}

const plenty = 64 << 20

func TestAValueIsFoundWhereverTrafficIsRecorded(t *testing.T) {
	s := newTraffic(t)
	s.run("acme", "run_1", "word-of-the-input")
	s.observe("acme", "run_1", "word-of-the-title", "word-of-the-text", `{"a":"word-of-the-data"}`)
	s.must(s.AppendTranscript(t.Context(), "acme", "run_1", 0, []json.RawMessage{json.RawMessage(`{"role":"user","text":"word-of-the-transcript"}`)}, s.later()))
	i := intent.Intent{Tenant: "acme", ID: "int_1", Revision: 1, Run: "run_1", Mission: "m", Connection: "erp", Tool: "create", Effect: resource.Write,
		Args: json.RawMessage(`{"note":"word-of-the-arguments"}`), Reason: "word-of-the-reason", State: intent.Approved, CreatedAt: s.later(), UpdatedAt: s.now}
	i.Bound = intent.Bound{Tenant: "acme", Run: i.Run, Intent: i.ID, Request: intent.Request{Method: "POST", URL: "https://erp.example/word-of-the-url", Body: "word-of-the-body"}}
	i.Digest = intent.SHA256(i.Args)
	d := decision.ByPolicy(i, []string{"p"}, string(i.Digest), noon)
	d.Reason = "word-of-the-decision"
	_, _, err := s.Propose(t.Context(), gate.Proposed{Intent: i, ArgsDigest: i.Digest, Decision: &d, MaxCalls: 10})
	s.must(err)
	s.must(s.Apply(t.Context(), "acme", "system:test", []sqlite.ResourceChange{{Kind: resource.KindMission, Name: "m",
		Resource: &resource.Mission{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindMission, Name: "m"}, Goal: "word-of-the-goal"},
		Event:    audit.Event{Type: audit.ResourceApplied, Tenant: "acme", At: noon, Actor: "system:test", Fields: map[string]any{"kind": "Mission", "name": "m", "revision": 1}}}}, noon))
	s.must(s.EndRun(t.Context(), "acme", "run_1", "done", "word-of-the-summary", s.later(),
		audit.Event{Type: audit.RunEnded, Tenant: "acme", At: s.now, Actor: "system:test", Run: "run_1"}, explain.Observation{Tenant: "acme", Run: "run_1", At: s.now, Kind: explain.Verdict}))
	for range 200 { // pages of Runs later it is still there
		s.observe("acme", "run_2", "x", strings.Repeat("y", 3000), "")
	}
	for word, place := range map[string]string{
		"input": "the Run run_1, its input", "summary": "the Run run_1, its input or its verdict", "title": "the Run run_1, observation 1", "text": "the Run run_1, observation 1",
		"data": "the Run run_1, observation 1", "transcript": "the Run run_1, message 0 of its Worker", "arguments": "the Run run_1, its action int_1",
		"reason": "the Run run_1, its action int_1", "url": "the Run run_1, its action int_1", "body": "the Run run_1, its action int_1",
		"decision": "the Decision " + d.ID, "goal": "the Mission m, which is applied",
	} {
		if got := s.look("acme", "word-of-the-"+word, plenty); len(got.Places) != 1 || !strings.HasPrefix(got.Places[0], place) || got.Partly {
			t.Errorf("%s: %+v, want %s", word, got, place)
		}
		if got := s.look("globex", "word-of-the-"+word, plenty); len(got.Places) != 0 || got.Partly {
			t.Errorf("%s: another tenant is told %+v", word, got)
		}
	}
	if got := s.look("acme", "word-of-nobody", plenty); len(got.Places) != 0 || got.Partly {
		t.Errorf("what stands nowhere: %+v", got)
	}
}

func TestTheNewestIsLookedThroughFirstAndThreePlacesAreNamed(t *testing.T) {
	s := newTraffic(t)
	s.observe("acme", "run_old", "the old word", "", "")
	for i := range 100 {
		run := fmt.Sprintf("run_%02d", i)
		s.run("acme", run, strings.Repeat("z", 1000))
		s.observe("acme", run, "x", strings.Repeat("y", 1000), "")
		s.observe("globex", run, "the newest word", strings.Repeat("y", 1000), "")
	}
	if got := s.look("acme", "yyy", plenty); !slices.Equal(got.Places, []string{"the Run run_99, observation 1", "the Run run_98, observation 1", "the Run run_97, observation 1"}) {
		t.Errorf("the three newest: %v", got.Places)
	}
	if got := s.look("acme", "zzz", plenty); len(got.Places) != 3 || !strings.HasPrefix(got.Places[0], "the Run run_99, its input") {
		t.Errorf("the three newest inputs: %v", got.Places)
	}
	for _, c := range []struct {
		limit  int64
		places int
		partly bool
	}{{plenty, 1, false}, {150_000, 0, true}, {1, 0, true}, {0, 0, true}} {
		if got := s.look("acme", "old word", c.limit); len(got.Places) != c.places || got.Partly != c.partly {
			t.Errorf("within %d bytes: %+v", c.limit, got)
		}
	}
	if got := s.look("acme", "newest word", plenty); len(got.Places) != 0 {
		t.Errorf("another tenant's is found in %v", got.Places)
	}
	if got := s.look("nobody", "yyy", 0); got.Partly {
		t.Error("of a tenant without traffic there is more")
	}
}

// Neither two rows beside each other, nor two texts of one, make a value.
func TestAValueIsInOneText(t *testing.T) {
	s := newTraffic(t)
	s.observe("acme", "run_1", "DE8937", "0400440", "")
	s.observe("acme", "run_1", "532013000", "", "")
	if got := s.look("acme", "DE89370400440532013000", plenty); len(got.Places) != 0 {
		t.Errorf("found in %v", got.Places)
	}
}

// What the scrubber would take out is what is found, in one row among others that
// are looked through together.
func TestAValueIsFoundInEveryEncoding(t *testing.T) {
	s := newTraffic(t)
	value := leaktest.Kinds["token"]
	contains := setOf(t, value)
	filler := strings.Repeat("checked against the register; ", 100)
	found := 0
	for i, e := range slices.Concat(leaktest.Encoders, leaktest.WholeEncoders) {
		coded, ok := e.Encode(value)
		if !ok || !utf8.ValidString(coded) || strings.Contains(coded, "\x00") {
			continue // a text of the store can't hold it
		}
		tenant := ident.Tenant(fmt.Sprintf("t%d", i))
		s.observe(tenant, "run_1", filler, filler, "")
		s.observe(tenant, "run_1", "x", filler+" "+coded+" "+filler, "")
		s.observe(tenant, "run_1", filler, filler, "")
		got, err := s.Recorded(t.Context(), tenant, plenty, contains)
		s.must(err)
		if !slices.Equal(got.Places, []string{"the Run run_1, observation 2"}) {
			t.Errorf("%s: found in %v", e.Name, got.Places)
		}
		found++
	}
	if found < 60 {
		t.Errorf("only %d encodings were tried", found)
	}
}

// A search that had to sort would read, and write to a temporary file, everything
// that was ever recorded.
func TestTheSearchSortsNothing(t *testing.T) {
	s := newTraffic(t)
	for _, q := range sqlite.RecordedQueries {
		s.must(s.Write(t.Context(), func(tx *sqlite.Tx) error {
			var id, parent, unused int
			var detail string
			if err := tx.QueryRow("EXPLAIN QUERY PLAN "+q, "acme", 1).Scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			if !strings.Contains(detail, "rowid<?") {
				t.Errorf("%s: %s", q, detail)
			}
			return nil
		}))
	}
}

// setOf is the search for one new value, as the vault asks for it.
func setOf(t testing.TB, value string) func([]byte) bool {
	t.Helper()
	set, err := scrub.Build([]scrub.Secret{{Name: "new", Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return func(t []byte) bool { return len(set.Contains(t)) > 0 }
}

// The recorded traffic that is looked through before a value is stored, at most:
// 64 MiB in rows of 1 KB.
func BenchmarkRecorded(b *testing.B) {
	s := newTraffic(b)
	text := strings.Repeat(`{"vendor":"Siemens AG","country":"DE","note":"checked against the register"},`, 13) // 1 KB
	const rows = 64 << 10
	for range rows / 1024 {
		s.must(s.Write(b.Context(), func(tx *sqlite.Tx) error {
			for range 1024 {
				if _, err := tx.Exec(`INSERT INTO observation (tenant, run, seq, at, kind, title, text, intent, data)
					VALUES ('acme', 'run_1', (SELECT COALESCE(max(seq), 0) + 1 FROM observation WHERE tenant = 'acme' AND run = 'run_1'), 1, 'check', 't', $1, '', '')`, text); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for name, contains := range map[string]func([]byte) bool{"read": func([]byte) bool { return false }, "secret": setOf(b, "kT9-vQ2x8LmZ4cR7wYb1")} {
		b.Run(name, func(b *testing.B) {
			var n int64
			for b.Loop() {
				n = 0
				found, err := s.Recorded(b.Context(), "acme", plenty, func(t []byte) bool { n += int64(len(t)); return contains(t) })
				if err != nil || len(found.Places) > 0 {
					b.Fatal(found, err)
				}
			}
			b.SetBytes(n)
		})
	}
}
