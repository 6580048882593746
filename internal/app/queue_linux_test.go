package app

import (
	"os"
	"runtime"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
)

// heldNow are the goroutines and the open files (connections are files) of the process.
func heldNow(t *testing.T) (goroutines, files int) {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(l)
}

// TestNothingIsHeldForWhatWaits counts what the process has for two thousand
// Decisions that wait: rows, and nothing else. One sweep ends all of them.
func TestNothingIsHeldForWhatWaits(t *testing.T) {
	c := newCrowd(t)
	const many = 2000
	c.wait(20, time.Hour) // with as many callers at once as later
	c.queue(c.ann, "")
	goroutines, files := heldNow(t)
	c.wait(many, time.Hour)
	if n := len(c.queue(c.ann, "?limit=200").Items); n != 200 {
		t.Errorf("the page has %d", n)
	}
	if g, f := heldNow(t); g > goroutines || f > files {
		t.Errorf("with %d more that wait there are %d goroutines and %d open files, before %d and %d", many, g, f, goroutines, files)
	}
	c.clock = c.clock.Add(2 * time.Hour)
	n, err := c.Desk.Expire(t.Context(), c.clock)
	if err != nil || n != many+20 {
		t.Errorf("one sweep ended %d: %v", n, err)
	}
	if l := c.queue(c.joe, "").Items; len(l) != 0 {
		t.Errorf("%d wait still", len(l))
	}
}

// TestEveryPageOfTheQueueTogetherIsTheQueue goes through the pages of somebody in
// several Teams: each Decision once, the oldest first.
func TestEveryPageOfTheQueueTogetherIsTheQueue(t *testing.T) {
	c := newCrowd(t)
	c.wait(130, time.Hour)
	seen, after := map[string]bool{}, ""
	var last decision.Decision
	for {
		page := c.queue(c.joe, "?limit=7&after="+after)
		for _, it := range page.Items {
			d := it.Decision
			if seen[d.ID] || d.CreatedAt.Before(last.CreatedAt) || d.CreatedAt.Equal(last.CreatedAt) && d.ID < last.ID {
				t.Fatalf("%s comes after %s", d.ID, last.ID)
			}
			seen[d.ID], last, after = true, d, d.ID
		}
		if len(page.Items) == 0 {
			break
		}
	}
	if len(seen) != 130 {
		t.Errorf("the pages have %d", len(seen))
	}
	mine := c.queue(c.ann, "?limit=200").Items
	for _, it := range mine {
		if it.Decision.Needs[0].Team != "finance" {
			t.Errorf("a member of finance sees %+v", it.Decision.Needs)
		}
	}
	c.approve(c.ann, mine[0].Decision, func(f func()) { f() })
	for state, want := range map[string]int{"approved": 1, "open": len(mine) - 1, "all": len(mine), "rejected": 0} {
		var q api.Queue
		if q = c.queue(c.ann, "?limit=200&state="+state); len(q.Items) != want {
			t.Errorf("%d are %s, want %d", len(q.Items), state, want)
		}
	}
}
