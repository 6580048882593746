package demo_test

import (
	"context"
	"sync"
	"testing"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// album keeps an Intent's row as it was at each point of its attempt.
type album struct {
	mu    sync.Mutex
	w     *world
	pages map[commit.Point]func()
}

func (a *album) take(it intent.Intent, p commit.Point) {
	if a.w == nil || it.Connection != "erp-write" || p == commit.AfterAnswer || p == commit.AfterRecord {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages[p] = a.w.copyOf("intent", it.ID)
}

// TestAWriteThatWasSentIsNotSentAgain puts the row of a committed write back as it
// genuinely was before, asks for its dispatch, and has the ERP count one vendor.
func TestAWriteThatWasSentIsNotSentAgain(t *testing.T) {
	t.Parallel()
	a := &album{pages: map[commit.Point]func(){}}
	w := start(t, func(c *demo.Config) { c.Crash = a.take })
	a.w = w
	k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Original Ltd", "country": "DE", "tax_id": "DE129274202"})
	it, err := k.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "reason": "it is wanted", "args": map[string]any{"name": "Original Ltd", "country": "DE"}})
	w.must(err)
	w.must(w.decide("approver", w.waiting(k.run), "approve"))
	w.eventually("the vendor is created", func() bool { return w.intent(k.run, it.ID).State == intent.Committed })
	done := w.copyOf("intent", it.ID)
	if count(w.trail("intent="+it.ID), "intent.sending") != 1 {
		t.Error("that bytes may leave is not on the record")
	}

	for point, putBack := range a.pages {
		putBack()
		w.within(t, "the row "+string(point)+", while the server runs", func() {
			if err := w.App.Gate.Dispatch(t.Context(), demo.Tenant, it.ID); !fault.Is(err, fault.Denied) {
				t.Errorf("its dispatch was answered with %v", err)
			}
			w.rowRecorded("a row that was put back", "intent", it.ID)
			w.oneVendor()
		})
		done()
	}
	if got := w.intent(k.run, it.ID); got.State != intent.Committed {
		t.Errorf("the row that was written last is refused: %+v", got)
	}
	for point, putBack := range a.pages {
		w.must(w.Stop(context.WithoutCancel(t.Context())))
		putBack()
		w.spoil(1, `INSERT INTO outbox (tenant, kind, ref, due_at) VALUES ('acme', 'dispatch', $1, $2)`, it.ID, 1)
		w.begin(nil)
		w.within(t, "the row "+string(point)+", put back between two starts", func() {
			if err := w.App.Gate.Dispatch(t.Context(), demo.Tenant, it.ID); !fault.Is(err, fault.Denied) {
				t.Errorf("its dispatch was answered with %v", err)
			}
			w.rowRecorded("a row that was put back", "intent", it.ID)
			w.oneVendor()
			w.spoil(1, `DELETE FROM outbox WHERE ref = $1`, it.ID)
		})
	}
}

func (w *world) oneVendor() {
	w.t.Helper()
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 || s.Credentials["erp-write-token"].Requests > 1 {
		w.t.Errorf("the ERP counts %d vendors and %d requests", s.Durable["vendors_created"], s.Credentials["erp-write-token"].Requests)
	}
}

// TestStoredRowsGiveNobodyMoreThanTheyHave changes who people are, and what they
// started, under a running server.
func TestStoredRowsGiveNobodyMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Original Ltd", "country": "DE", "tax_id": "DE129274202"})
	_, err := k.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "reason": "it is wanted", "args": map[string]any{"name": "Original Ltd", "country": "DE"}})
	w.must(err)
	it := w.waiting(k.run)
	me, team := w.principal("requester").ID, ""
	w.must(w.database().QueryRow(`SELECT team FROM team_member WHERE account = $1`, w.principal("approver").ID).Scan(&team))

	w.within(t, "the requester makes themself an approver in the Team", func() {
		putBack := w.copyOf("account", me)
		w.as("requester")
		w.spoil(1, `UPDATE account SET roles = 'requester approver' WHERE id = $1`, me)
		if err := w.as("requester").Call(t.Context(), "GET", "/v1/missions", nil, nil); problemOf(err).Kind != "unauthenticated" {
			t.Errorf("with a changed role: %v", err)
		}
		w.rowRecorded("a role", "account", me)
		putBack()
		w.must(w.as("requester").Call(t.Context(), "GET", "/v1/missions", nil, nil))
	})
	w.person("both", ident.Requester, ident.Approver)
	both := w.principal("both").ID
	w.within(t, "an approver puts themself into the Team", func() {
		w.spoil(1, `INSERT INTO team_member (tenant, team, account, since, mac) SELECT tenant, team, $1, 1, mac FROM team_member WHERE account = $2`, both, w.principal("approver").ID)
		w.rowRefused("a membership", w.decide("both", it, "approve"), "team_member", team+"/"+both)
		w.spoil(1, `DELETE FROM team_member WHERE account = $1`, both)
	})
	w.within(t, "the approver's own Run becomes somebody else's", func() {
		w.spoil(1, `UPDATE run SET starter = $1 WHERE id = $2`, "person:"+both, k.run)
		if err := k.call("GET", "/v1/runs/"+k.run, nil, nil); problemOf(err).Kind != "denied" {
			t.Errorf("the Run with another starter: %v", err)
		}
		w.rowRecorded("a starter", "run", k.run)
		w.spoil(1, `UPDATE run SET starter = $1 WHERE id = $2`, "person:"+me, k.run)
	})
	w.within(t, "nothing was sent, and what is genuine goes on", func() {
		if s := w.stats("erp"); s.Durable["vendors_created"] != 0 {
			t.Errorf("the ERP counts %d vendors", s.Durable["vendors_created"])
		}
		w.must(w.decide("approver", it, "approve"))
		w.eventually("the vendor is created", func() bool { return w.intent(k.run, it.Intent.ID).State == intent.Committed })
		w.oneVendor()
	})
}
