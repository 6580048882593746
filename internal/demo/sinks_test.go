package demo_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/leaktest"
)

// known is a canary that the test did not make: a value and what it is called.
func known(name string, parts ...string) leaktest.Canary {
	return leaktest.Canary{Door: name, How: "any", Kind: "as it was drawn", Value: parts[0], Parts: parts}
}

// credentials are the values that the systems accept, as the demo drew them.
func credentials(w *world) (values map[string]string, wanted []leaktest.Canary) {
	w.t.Helper()
	keys, err := company.ReadKeys(filepath.Join(w.dir, "company"))
	w.must(err)
	values = map[string]string{}
	for _, file := range keys {
		for _, c := range file.Credentials {
			if values[c.Name] = c.Token; c.Token != "" {
				wanted = append(wanted, known(c.Name, c.Token))
				continue
			}
			values[c.Name] = c.Username + ":" + c.Password
			wanted = append(wanted, known(c.Name, c.Password))
		}
	}
	return values, wanted
}

// sinks is all that left the Boundary, by where it was seen.
type sinks struct {
	mu   sync.Mutex
	seen map[string]*bytes.Buffer
}

// sink is one of them; writes are safe from any goroutine.
type sink struct {
	*sinks
	name string
}

func (s sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[s.name] == nil {
		s.seen[s.name] = &bytes.Buffer{}
	}
	return s.seen[s.name].Write(b)
}

func (s *sinks) at(name string) sink { return sink{s, name} }

// files takes in every file below a directory that keep wants.
func (s *sinks) files(t *testing.T, dir string, keep func(rel string) bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if !keep(rel) {
			return nil
		}
		b, err := os.ReadFile(path)
		_, _ = s.at("file " + rel).Write(b)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// rows takes in every value of every table: in a file a long one is in pieces.
func (s *sinks) rows(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range query(t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		for _, row := range query(t, db, `SELECT * FROM "`+string(table)+`"`) {
			_, _ = s.at("table " + filepath.Base(path) + " " + string(table)).Write(append(row, '\n'))
		}
	}
}

func query(t *testing.T, db *sql.DB, text string) (out [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]sql.RawBytes, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var row [][]byte
		for _, v := range values {
			row = append(row, bytes.Clone(v))
		}
		out = append(out, bytes.Join(row, []byte{'\t'}))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// clean says that no sink has any of the canaries in any encoding, and that the
// named sinks have something in them at all.
func (s *sinks) clean(t *testing.T, wanted []leaktest.Canary, filled ...string) {
	t.Helper()
	for sink, hits := range s.search(t, wanted) {
		for _, h := range hits {
			t.Errorf("%s has %s, %s: %.200q", sink, h.Canary, h.Way, h.Near)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range filled {
		if b := s.seen[name]; b == nil || b.Len() == 0 {
			t.Errorf("nothing was seen in: %s", name)
		}
	}
}

// search finds canaries in all sinks, by sink. What two sinks share is reported
// for the first of them by name.
func (s *sinks) search(t *testing.T, wanted []leaktest.Canary) map[string][]leaktest.Hit {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	x, found := leaktest.NewIndex(wanted...), map[string][]leaktest.Hit{}
	for _, name := range slices.Sorted(maps.Keys(s.seen)) {
		if hits := x.Search(s.seen[name].Bytes()); len(hits) > 0 {
			found[name] = hits
		}
	}
	if x.Clipped > 0 {
		t.Errorf("%d stretches of the sinks decode to more than was looked at", x.Clipped)
	}
	return found
}

// sniff is a client whose answers are kept, headers and all.
func (w *world) sniff(s *sinks, token string) *client.Client {
	c, err := client.New(w.URL(), client.Token(token), client.Transport(tap{s}))
	w.must(err)
	return c
}

// tap keeps what comes in an answer: status, headers, body.
type tap struct{ *sinks }

// tapped keeps it in another sink.
func tapped(s *sinks, name string) http.RoundTripper { return faucet{s, name} }

type faucet struct {
	*sinks
	name string
}

func (t tap) RoundTrip(r *http.Request) (*http.Response, error) {
	return faucet{t.sinks, apiAnswers}.RoundTrip(r)
}

func (t faucet) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	at := t.at(t.name)
	_, _ = io.WriteString(at, resp.Status+"\n")
	_ = resp.Header.Write(at)
	_, _ = at.Write(body)
	return resp, err
}

// crawl reads all that the API shows to anybody, about everything there is.
func (w *world) crawl(s *sinks, runs []string) {
	w.t.Helper()
	paths := []string{"/v1/openapi.json", "/healthz", "/readyz", "/v1/me", "/v1/missions", "/v1/resources", "/v1/secrets", "/v1/accounts", "/v1/unknown",
		"/v1/decisions?state=all&limit=200", "/v1/audit/log/checkpoint", "/v1/no/such/route", "/v1/runs?limit=500"}
	for name := range w.values() {
		paths = append(paths, "/v1/secrets/"+name)
	}
	for _, run := range runs {
		paths = append(paths, "/v1/runs/"+run, "/v1/runs/"+run+"/intents", "/v1/runs/"+run+"/observations?limit=500", "/v1/runs/"+run+"/follow", "/v1/runs/"+run+"/replay", "/v1/runs/"+run+"/observations?before=0")
		for _, it := range w.intents(run) {
			paths = append(paths, "/v1/runs/"+run+"/intents/"+it.ID)
		}
	}
	for from := range 20 {
		paths = append(paths, fmt.Sprintf("/v1/audit/entries?limit=500&from=%d", from*500))
	}
	for _, who := range demo.Names() {
		w.as(who)
		for _, path := range paths {
			_ = w.sniff(s, w.tokens[who]).Call(w.t.Context(), "GET", path, nil, nil) // a refusal is an answer too
		}
	}
}
