package app

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
)

// killedTest names the directory to the process that is killed.
const killedTest = "SALLYPORT_TEST_KILLED_DIR"

// The process ends between the receiver's word and the store's: the receiver gets
// the message again, and can tell by its id.
func TestAKillBetweenTwoLinesRepeatsTheMessageUnderItsId(t *testing.T) {
	if dir := os.Getenv(killedTest); dir != "" { // the process that is killed
		w := newTower(t, dir, nil, func(notify.Notice) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		w.until("it is killed", func() bool { return false })
		return
	}
	dir, h := t.TempDir(), newHook(t, ok)
	t.Run("before", func(t *testing.T) { // ends with the program's end
		w := newTower(t, dir, nil, nil)
		w.channels(hookSecret, h.to("ops"))
		w.park("finance")
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKillBetweenTwoLinesRepeatsTheMessageUnderItsId$") // this very test
	cmd.Env = append(os.Environ(), killedTest+"="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
	if n := len(h.all()); n != 1 {
		t.Fatalf("%d messages before the end", n)
	}
	w := newTower(t, dir, nil, nil)
	w.done("ops")
	got := h.all()
	if len(got) != 2 || got[0].header.Get("Webhook-Id") == "" || got[0].header.Get("Webhook-Id") != got[1].header.Get("Webhook-Id") || got[0].body != got[1].body {
		t.Errorf("the receiver got %+v", got)
	}
	for _, r := range got {
		verified(t, r)
	}
}

func TestAChannelThatFailsIsTriedAgainAndHoldsUpNoOther(t *testing.T) {
	down := true
	bad := newHook(t, func(w http.ResponseWriter, _ int) {
		if down {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	good := newHook(t, ok)
	w := newTower(t, t.TempDir(), nil, nil)
	w.channels(hookSecret, bad.to("bad"), good.to("good"))
	for range 10 {
		w.park("finance")
	}
	w.until("the bad one is held back", func() bool { return w.state("bad").NextAt.After(w.now()) })
	w.done("good")
	if n, tried := len(good.ids()), len(bad.all()); n != 10 || tried != 3 {
		t.Errorf("the good one got %d; the bad one was tried %d times before it was left alone, want 3", n, tried)
	}
	st := w.state("bad")
	if st.Fails != 3 || !st.Failing || !strings.Contains(st.Problem, "502") || st.NextAt.Sub(w.now()) > 10*time.Second {
		t.Errorf("its state is %+v", st)
	}
	for range 6 { // longer and longer
		w.later(w.state("bad").NextAt.Sub(w.now()))
		before := len(bad.all())
		w.until("it is tried once", func() bool { return len(bad.all()) > before && w.state("bad").NextAt.After(w.now()) })
		if n := len(bad.all()) - before; n != 1 {
			t.Errorf("it was tried %d times", n)
		}
	}
	if wait := w.state("bad").NextAt.Sub(w.now()); wait < 2*time.Minute {
		t.Errorf("after nine failures the pause is %s", wait)
	}
	down = false
	w.later(w.state("bad").NextAt.Sub(w.now()))
	w.later(time.Hour)
	w.done("bad")
	if n := len(bad.ids()); n != 10 {
		t.Errorf("%d different messages arrived, want 10", n)
	}
	failed, text := w.entries(audit.ChannelFailed)
	recovered, _ := w.entries(audit.ChannelRecovered)
	if failed != 1 || recovered != 1 || !strings.Contains(text, "502") {
		t.Errorf("%d failures and %d recoveries are on the record: %s", failed, recovered, text)
	}
	if st := w.state("bad"); st.Fails != 0 || st.Problem != "" || st.Failing || st.SentAt.IsZero() {
		t.Errorf("afterwards: %+v", st)
	}
}

func TestAReceiverThatHangsHoldsUpNoOther(t *testing.T) {
	block := make(chan struct{})
	hung := newHook(t, func(http.ResponseWriter, int) { <-block })
	t.Cleanup(func() { close(block) }) // before the server's end
	good := newHook(t, ok)
	w := newTower(t, t.TempDir(), nil, nil)
	w.channels(hookSecret, hung.to("hung"), good.to("good"))
	for range 3 {
		w.park("finance")
	}
	w.until("the other got all, while one hangs", func() bool { return len(good.ids()) == 3 && len(hung.all()) == 1 })
	if st := w.state("hung"); st.Fails != 0 {
		t.Errorf("being stopped counts as a failure: %+v", st)
	}
}

func TestRetryAfterIsHeededWithinBounds(t *testing.T) {
	for header, want := range map[string]time.Duration{"90": 90 * time.Second, "99999999999999999999": 6 * time.Hour, "-5": 0, "soon": 0} {
		h := newHook(t, func(w http.ResponseWriter, _ int) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, "slow down")
		})
		w := newTower(t, t.TempDir(), nil, nil)
		w.channels(hookSecret, h.to("ops"))
		w.park("finance")
		w.until("it was tried", func() bool { return w.state("ops").Fails == 1 })
		st := w.state("ops")
		if got := max(0, st.NextAt.Sub(w.now())); got != want {
			t.Errorf("%s: the Channel waits %s, want %s", header, got, want)
		}
	}
}

func TestAfterADayAMessageIsGivenUpAndThatIsOnTheRecord(t *testing.T) {
	h := newHook(t, func(w http.ResponseWriter, _ int) { w.WriteHeader(500) })
	w := newTower(t, t.TempDir(), nil, nil)
	w.channels(hookSecret, h.to("ops"))
	w.park("finance")
	w.park("finance")
	w.until("both were tried", func() bool { return w.state("ops").Fails >= 2 })
	w.later(25 * time.Hour)
	w.done("ops")
	if n, text := w.entries(audit.ChannelDropped); n != 1 || !strings.Contains(text, `"count":2`) {
		t.Errorf("%d entries: %s", n, text)
	}
	if st := w.state("ops"); st.Dropped != 2 {
		t.Errorf("%+v", st)
	}
}

func TestWhatIsNotTrueAnyMoreIsNotTold(t *testing.T) {
	h := newHook(t, ok)
	w := newTower(t, t.TempDir(), nil, nil)
	c := h.to("ops")
	c.Events = []resource.Event{resource.EventReminder, resource.EventExpiring, resource.EventDecided}
	c.Teams = []string{"finance"}
	w.channels(hookSecret, c)
	waits, decided := w.park("finance"), w.park("finance")
	w.park("legal")
	w.expire(decided)
	w.done("ops")
	w.later(25 * time.Hour)
	w.done("ops")
	w.later(46 * time.Hour) // four hours before the end are over too
	w.done("ops")
	var types []string
	for _, r := range h.all() {
		typ, _, _ := strings.Cut(strings.TrimPrefix(r.body, `{"type":"`), `"`)
		types = append(types, typ)
		if want := map[bool]string{true: decided.ID, false: waits.ID}[typ == "decision.decided"]; !strings.Contains(r.body, want) {
			t.Errorf("%s is about another Decision: %s", typ, r.body)
		}
	}
	if got := strings.Join(types, " "); got != "decision.decided decision.reminder decision.expiring" {
		t.Errorf("it was told: %s", got)
	}
}

func TestAChannelThatWasRemovedTellsNothing(t *testing.T) {
	h := newHook(t, ok)
	w := newTower(t, t.TempDir(), nil, nil)
	w.channels(hookSecret, h.to("ops"))
	w.park("finance")
	w.channels(nil)
	w.done("ops")
	if n := len(h.all()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

func TestARestoredProgramTellsNothingOfBefore(t *testing.T) {
	o := newOffice(t, t.TempDir())
	_, err := o.Apply(t.Context(), setter, []resource.Resource{&resource.Channel{Head: headOf(resource.KindChannel, "ops"),
		Webhook: &resource.Webhook{URL: "https://hooks.example/in", Secret: "erp"}}}, false, false)
	o.must(err)
	o.propose(resource.Write, "PARKED")
	lane := notify.Lane{Tenant: "acme", Channel: "ops"}
	if n, err := o.store.WaitingNotices(t.Context(), lane, o.time); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	c := o.config(o.backup("one.backup"))
	_, err = Restore(t.Context(), c)
	o.must(err)
	at := o.time.Add(100 * time.Hour)
	b, err := New(t.Context(), Config{Dir: c.Dir, Tenant: "acme", LogHandler: c.LogHandler, Now: func() time.Time { return at }, Seals: c.Seals})
	o.must(err)
	defer func() { o.must(b.Stop(context.WithoutCancel(t.Context()))) }()
	if n, err := b.store.WaitingNotices(t.Context(), lane, at); err != nil || n != 0 {
		t.Errorf("%d messages wait: %v", n, err)
	}
}
