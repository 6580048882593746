package sqlite_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// benchmarkWrites takes writes that policy lets through from proposal to outcome:
// a Run's row, a Decision's, and four states of an Intent, each step on disk.
func benchmarkWrites(b *testing.B, callers int) {
	s := open(b, b.TempDir())
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		wg.Go(func() {
			for range (b.N + callers - 1 - c) / callers {
				if err := oneWrite(b, s); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(5*b.N)/b.Elapsed().Seconds(), "steps/s")
}

func oneWrite(b *testing.B, s *sqlite.Store) error {
	ctx := b.Context()
	i := intent.Intent{Tenant: "acme", ID: ident.New("int"), Revision: 1, Run: ident.New("run"), Mission: "m", Connection: "erp-write", Tool: "create",
		Effect: resource.Write, Args: json.RawMessage(`{"name":"` + strings.Repeat("x", 500) + `"}`), State: intent.Approved, CreatedAt: noon, UpdatedAt: noon,
		Digest: intent.SHA256(nil)}
	event := func(t audit.Type, fields map[string]any) []audit.Event {
		fields["digest"] = i.Digest
		return []audit.Event{{Type: t, Tenant: i.Tenant, At: noon, Actor: "run:" + i.Run, Run: i.Run, Intent: i.ID, Fields: fields}}
	}
	if _, err := s.CreateRun(ctx, gate.NewRun{Run: intent.Run{Tenant: i.Tenant, ID: i.Run, Mission: "m", Worker: intent.Outside, Input: json.RawMessage("{}"),
		State: intent.RunRunning, CreatedAt: noon}}); err != nil {
		return err
	}
	d := decision.ByPolicy(i, []string{"p"}, string(i.Digest), noon)
	if _, _, err := s.Propose(ctx, gate.Proposed{Intent: i, ArgsDigest: i.Digest, Decision: &d, MaxCalls: 10, Events: event(audit.IntentDecided, map[string]any{"verdict": "approved"})}); err != nil {
		return err
	}
	fence := int64(0)
	for _, st := range []commit.Step{
		{From: intent.Approved, To: intent.Claimed, Events: event(audit.IntentClaimed, map[string]any{"args": i.Digest, "effect": "write", "fence": 1})},
		{From: intent.Claimed, To: intent.Sending},
		{From: intent.Sending, To: intent.Committed, Events: event(audit.IntentOutcome, map[string]any{"state": "COMMITTED"})},
	} {
		st.Tenant, st.Intent, st.Run, st.Fence, st.At = i.Tenant, i.ID, i.Run, fence, noon
		var err error
		if fence, err = s.Step(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkWrites1(b *testing.B)  { benchmarkWrites(b, 1) }
func BenchmarkWrites64(b *testing.B) { benchmarkWrites(b, 64) }
