package gate_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// paying is a write of an amount.
func paying(name string, count int64) intent.Proposal {
	p := create(name)
	p.Args = json.RawMessage(fmt.Sprintf(`{"name":%q,"count":%d}`, name, count))
	return p
}

const twenty = `@id("some") @rate("20 per 1h per connection")
	permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`

// Fifty at once for twenty places: twenty go through, and a person is asked about
// each of the others.
func TestOfFiftyAtOnceForTwentyPlacesTwentyGoThrough(t *testing.T) {
	w := newWorld(t)
	w.mission.Limits = resource.Limits{Parked: 100}
	w.policy(twenty)
	runs := []ident.Principal{w.start(), w.start(), w.start(), w.start(), w.start()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	states := map[intent.State]int{}
	for i := range 50 {
		wg.Go(func() {
			it, err := w.Admit(t.Context(), runs[i%len(runs)], create(fmt.Sprint("v", i)))
			mu.Lock()
			defer mu.Unlock()
			if states[it.State]++; err != nil {
				t.Errorf("proposal %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if states[intent.Committed] != 20 || states[intent.Parked] != 30 {
		t.Errorf("the proposals ended as %v", states)
	}
	w.wantArrived(20)
}

func TestAPlaceThatWasTakenIsTakenAfterARestartToo(t *testing.T) {
	w := newWorld(t)
	w.policy(strings.Replace(twenty, "20", "2", 1))
	run := w.start()
	w.admit(run, create("a"))
	if _, err := w.Admit(t.Context(), run, create("does-not-fit")); err == nil {
		t.Fatal("what does not fit was admitted")
	}
	w.broken["Propose"] = fault.New(fault.Unavailable, "the disk is gone")
	if _, err := w.Admit(t.Context(), run, create("b")); err == nil {
		t.Fatal("it was admitted without a store")
	}
	delete(w.broken, "Propose")
	w.must(w.store.Close())
	w.open()
	if it := w.admit(run, create("b")); it.State != intent.Committed { // what failed took no place
		t.Errorf("the second is %s", it.State)
	}
	if it := w.admit(run, create("b")); it.State != intent.Committed { // the same again is no other
		t.Errorf("the same again is %s", it.State)
	}
	if it := w.admit(run, create("c")); it.State != intent.Parked {
		t.Errorf("the third is %s", it.State)
	}
	w.wantArrived(2)
}

func TestAClockSetBackGivesNoPlaceBack(t *testing.T) {
	w := newWorld(t)
	w.policy(strings.Replace(twenty, "20", "2", 1))
	run := w.start()
	w.admit(run, create("a"))
	w.pass(-30 * time.Minute)
	if _, err := w.Admit(t.Context(), run, create("b")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it was admitted half an hour ago: %v", err)
	}
	w.pass(30*time.Minute - 30*time.Second) // so little is no clock that was set back
	w.admit(run, create("b"))
	for _, c := range []struct {
		name  string
		after time.Duration
	}{{"c", 0}, {"d", 30 * time.Minute}, {"e", 29*time.Minute + 59*time.Second}} {
		w.pass(c.after)
		if it := w.admit(run, create(c.name)); it.State != intent.Parked {
			t.Errorf("%s is %s", c.name, it.State)
		}
	}
	w.pass(31 * time.Minute)
	if it := w.admit(run, create("f")); it.State != intent.Committed {
		t.Errorf("an hour later it is %s", it.State)
	}
}

func TestABudgetAddsUpAndNothingGivesItBack(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("small") @budget("count 100 per 24h per run")
		permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`)
	one, other := w.start(), w.start()
	for i, c := range []struct {
		who   ident.Principal
		count int64
		want  intent.State
	}{
		{one, 60, intent.Committed}, {one, 41, intent.Parked}, {one, -50, intent.Parked}, {one, 40, intent.Committed}, {one, 0, intent.Committed}, {one, 1, intent.Parked},
		{other, 9007199254740991, intent.Parked}, {other, 922337203685477, intent.Parked}, {other, 100, intent.Committed}, {other, -9007199254740991, intent.Parked}, {other, 1, intent.Parked},
	} {
		if it := w.admit(c.who, paying(fmt.Sprint("v", i), c.count)); it.State != c.want {
			t.Errorf("%d: %d is %s, want %s", i, c.count, it.State, c.want)
		}
	}
	if it := w.admit(w.start(), create("without an amount")); it.State != intent.Parked {
		t.Errorf("without an amount it is %s", it.State)
	}
}

func TestBeyondALimitOfTheCallItIsDenied(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("most") @rate("1 per 1m per mission") permit (principal, action, resource == Tool::"erp/dropVendor");`)
	drop := func(name string) intent.Proposal {
		p := create(name)
		p.Tool = "dropVendor"
		return p
	}
	if it := w.admit(w.start(), drop("a")); it.State != intent.Committed {
		t.Errorf("the first is %s", it.State)
	}
	_, err := w.Admit(t.Context(), w.start(), drop("b"))
	w.wantKind(err, fault.Denied)
	if !strings.Contains(fault.HintOf(err), "test/most has reached its rate of 1 per 1m per mission") {
		t.Errorf("it says %q", fault.HintOf(err))
	}
	if e := w.entries(audit.IntentDenied)[0]; fmt.Sprint(e.Fields["policies"]) != "[test/most]" {
		t.Errorf("the entry says %v", e.Fields)
	}
}

func TestAnApprovedActionKeepsThePlaceThatItTook(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("most") @rate("1 per 1h per connection") permit (principal, action == Action::"call", resource == Tool::"erp/createVendor");`)
	run := w.start()
	it := w.admit(run, create("a"))
	_, err := w.Admit(t.Context(), run, create("b"))
	w.wantKind(err, fault.Denied)
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
}

func TestAStatementInObserveModeIsOnRecordAndDecidesNothing(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended + `
		@id("never") @observe("true") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.worker == "outside" };
		@id("quiet") @observe("true") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.worker == "built-in" };`)
	run := w.start()
	if it := w.admit(run, create("a")); it.State != intent.Committed {
		t.Errorf("it is %s", it.State)
	}
	if got := fmt.Sprint(w.entries(audit.IntentDecided)[0].Fields["observed"]); got != "[test/never: deny]" {
		t.Errorf("the entry has %s", got)
	}
	seen := false
	for _, o := range w.rail(run.ID) {
		seen = seen || strings.Contains(o.Text, "test/never: it would have denied the call")
	}
	if !seen {
		t.Error("the rail does not say it")
	}
}

func TestWhereAProposalComesFromIsWhatPolicySees(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("inside") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor")
		when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };`)
	run := w.start()
	for from, want := range map[string]intent.State{"10.1.2.3": intent.Committed, "::ffff:10.1.2.3": intent.Committed, "192.0.2.1": intent.Parked, "": intent.Parked} {
		p := create("from " + from)
		if from != "" {
			p.Source = netip.MustParseAddr(from)
		}
		if it := w.admit(run, p); it.State != want {
			t.Errorf("from %q it is %s, want %s", from, it.State, want)
		}
	}
}

func TestASourceIsNotBelievedToWhoeverForwards(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr = "[fe80::1%eth0]:4000"
	if got := gate.Source(r).String(); got != "fe80::1" {
		t.Errorf("it came from %s", got)
	}
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"} {
		r.Header.Set(h, "10.0.0.1")
		if a := gate.Source(r); a.IsValid() {
			t.Errorf("with %s it came from %s", h, a)
		}
		r.Header.Del(h)
	}
	if r.RemoteAddr = "@"; gate.Source(r).IsValid() {
		t.Error("no address is one")
	}
}
