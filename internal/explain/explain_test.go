package explain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
)

const canary = "cnry-7c41Xe9LmW2q58-rail"

func knows(t *testing.T) func(ident.Tenant) *scrub.Set {
	t.Helper()
	set, err := buildSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// buildSet knows one secret of one tenant.
func buildSet() (func(ident.Tenant) *scrub.Set, error) {
	set, err := scrub.Build([]scrub.Secret{{Name: "erp", Value: []byte(canary)}})
	return func(tenant ident.Tenant) *scrub.Set {
		if tenant == "acme" {
			return set
		}
		return nil
	}, err
}

// memory is a rail in memory.
type memory struct {
	mu   sync.Mutex
	obs  map[string][]explain.Observation
	fail error
}

func (m *memory) Observe(_ context.Context, o explain.Observation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.obs == nil {
		m.obs = map[string][]explain.Observation{}
	}
	k := string(o.Tenant) + "/" + o.Run
	o.Seq = int64(len(m.obs[k]) + 1)
	m.obs[k] = append(m.obs[k], o)
	return nil
}

func (m *memory) Observations(_ context.Context, tenant ident.Tenant, run string, after int64, limit int) ([]explain.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	all := m.obs[string(tenant)+"/"+run]
	if after >= int64(len(all)) {
		return nil, nil
	}
	all = all[after:]
	return append([]explain.Observation(nil), all[:min(limit, len(all))]...), nil
}

func (m *memory) Latest(_ context.Context, tenant ident.Tenant, run string, before int64, limit int) ([]explain.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.obs[string(tenant)+"/"+run]
	if before > 0 && before <= int64(len(all)) {
		all = all[:before-1]
	}
	return append([]explain.Observation(nil), all[max(0, len(all)-limit):]...), m.fail
}

func TestEveryTextOfAnObservationIsScrubbed(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	o := r.Clean(explain.Observation{Tenant: "acme", Title: "a " + canary, Text: "b " + canary, Data: json.RawMessage(`{"c":"` + canary + `","d":1}`)})
	all, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all), canary) || !strings.Contains(o.Title, "erp") || !strings.Contains(o.Text, "erp") || !json.Valid(o.Data) {
		t.Errorf("it is %s", all)
	}
	if o := r.Clean(explain.Observation{Tenant: "globex", Title: canary}); o.Title != canary {
		t.Errorf("another tenant's rail is scrubbed of it: %q", o.Title)
	}
}

// Nobody has to read what looks like a secret, whoever wrote it.
func TestWhatLooksLikeASecretIsMasked(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	const token = "glpat-Zx81kQ0vT5mBn2WcY7ra"
	o := r.Clean(explain.Observation{Tenant: "acme", Title: "a " + token, Text: "password = Kq0ZxW4v81mPz", Data: json.RawMessage(`{"c":"` + token + `","d":1}`)})
	all, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all), token) || strings.Contains(string(all), "Kq0ZxW4v81mPz") || !strings.Contains(string(o.Data), `"d":1`) {
		t.Errorf("it is %s", all)
	}
}

// A secret that is cut by the bound would be found no more; and where what is
// replaced breaks the JSON, it is a text.
func TestScrubbingComesBeforeTheBound(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	const bound = 64 << 10
	for at := bound - len(canary) - 20; at <= bound+20; at += 7 {
		data := json.RawMessage(`"` + strings.Repeat("x", at) + canary + `"`)
		o := r.Clean(explain.Observation{Tenant: "acme", Data: data})
		if !json.Valid(o.Data) || len(o.Data) > bound || strings.Contains(string(o.Data), canary[:8]) {
			t.Fatalf("at %d: %d bytes, %.60q", at, len(o.Data), o.Data)
		}
	}
	o := r.Clean(explain.Observation{Tenant: "acme", Data: json.RawMessage(`"` + strings.Repeat("x", bound) + `"`)})
	if string(o.Data) != `{"bytes":65538,"truncated":true}` {
		t.Errorf("what is too long became %.80s", o.Data)
	}
}

func TestWhatCannotBeStoredIsAnError(t *testing.T) {
	m := &memory{fail: errors.New("disk full")}
	r := explain.New(m, knows(t))
	if err := r.Append(t.Context(), explain.Observation{Tenant: "acme", Run: "run_1"}); !errors.Is(err, m.fail) {
		t.Errorf("Append said %v", err)
	}
	if err := r.Follow(t.Context(), "acme", "run_1", 0, func(explain.Observation) bool { return true }); !errors.Is(err, m.fail) {
		t.Errorf("Follow said %v", err)
	}
}

// Many followers, several writers, and another Run that is as busy: each follower
// gets each Observation of its Run once, in order, from where it began.
func TestFollowMissesNoneAndRepeatsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each, before = 4, 150, 450
		r := explain.New(&memory{}, knows(t))
		add := func(run, title string) {
			if err := r.Append(t.Context(), explain.Observation{Tenant: "acme", Run: run, Title: title}); err != nil {
				t.Error(err)
			}
		}
		for i := range before { // more than two pages
			add("run_1", fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for f := range int64(8) {
			from := f * 60
			wg.Go(func() {
				next := from
				err := r.Follow(ctx, "acme", "run_1", from, func(o explain.Observation) bool {
					next++
					if o.Seq != next || o.Run != "run_1" {
						t.Errorf("got %s/%d where %d was next", o.Run, o.Seq, next)
					}
					return true
				})
				if !errors.Is(err, context.Canceled) || next != before+writers*each {
					t.Errorf("ended at %d with %v", next, err)
				}
			})
		}
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					add("run_1", fmt.Sprint(w, i))
					add("run_2", fmt.Sprint(w, i))
				}
			})
		}
		synctest.Wait() // everybody has what there is, and waits
		cancel()
		wg.Wait()
	})
}

func TestAFollowerThatHasEnoughStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := explain.New(&memory{}, knows(t))
		got := make(chan int64, 3)
		go func() {
			defer close(got)
			if err := r.Follow(t.Context(), "acme", "run_1", 0, func(o explain.Observation) bool { got <- o.Seq; return o.Seq < 2 }); err != nil {
				t.Error(err)
			}
		}()
		for range 3 {
			if err := r.Append(t.Context(), explain.Observation{Tenant: "acme", Run: "run_1"}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if a, b, c := <-got, <-got, <-got; a != 1 || b != 2 || c != 0 {
			t.Errorf("got %d, %d, %d", a, b, c)
		}
	})
}

func TestWakingARunWakesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := explain.New(m, knows(t))
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		done := make(chan error)
		go func() {
			done <- r.Follow(ctx, "acme", "run_1", 0, func(explain.Observation) bool { seen++; return true })
		}()
		synctest.Wait()
		if err := m.Observe(ctx, explain.Observation{Tenant: "acme", Run: "run_1"}); err != nil { // durable, not yet announced
			t.Fatal(err)
		}
		r.Wake("acme", "run_2")
		r.Wake("globex", "run_1")
		if synctest.Wait(); seen != 0 {
			t.Error("it looked")
		}
		r.Wake("acme", "run_1")
		if synctest.Wait(); seen != 1 {
			t.Errorf("it saw %d", seen)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
