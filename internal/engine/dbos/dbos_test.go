package dbos_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/engine/dbos"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/mission"
)

// worker is a Worker whose turns the test plays.
type worker struct {
	mu    sync.Mutex
	turns map[string]int // made, by Run
	turn  func(ctx context.Context, run string, n int) (mission.Next, error)
	began chan string // a Run whose turn has begun
	over  chan string // a Run whose segment is over, or was given up
}

func newWorker(turn func(ctx context.Context, run string, n int) (mission.Next, error)) *worker {
	return &worker{turns: map[string]int{}, turn: turn, began: make(chan string, 100), over: make(chan string, 100)}
}

func (w *worker) Turn(ctx context.Context, tenant ident.Tenant, run string) (mission.Next, error) {
	w.mu.Lock()
	w.turns[run]++
	n := w.turns[run]
	w.mu.Unlock()
	w.began <- run
	if tenant != "acme" {
		return "", fault.New(fault.Internal, "another tenant's")
	}
	next, err := w.turn(ctx, run, n)
	if err == nil && next != mission.Go {
		w.over <- run
	}
	return next, err
}

func (w *worker) GiveUp(_ context.Context, _ ident.Tenant, run string, cause error) error {
	w.over <- "given up: " + run + ": " + cause.Error()
	return nil
}

func (w *worker) count(run string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turns[run]
}

// ends waits for the next segment that is over.
func (w *worker) ends(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.over:
		if got != want {
			t.Errorf("%q was over, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", want)
	}
}

// begins waits for the next turn.
func (w *worker) begins(t *testing.T) {
	t.Helper()
	select {
	case <-w.began:
	case <-time.After(30 * time.Second):
		t.Fatal("no turn begins")
	}
}

func open(t *testing.T, dir string, w dbos.Worker) *dbos.Engine {
	t.Helper()
	e, err := dbos.New(context.WithoutCancel(t.Context()), dir, w, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func start(t *testing.T, e *dbos.Engine, run string, n int) (ended bool) {
	t.Helper()
	ended, err := e.Start(t.Context(), dbos.Segment{Tenant: "acme", Run: run, Number: n})
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// ended waits until the engine itself holds the segment for ended.
func ended(t *testing.T, e *dbos.Engine, run string, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !start(t, e, run, n); {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
}

// threeTurns goes on twice, then parks.
func threeTurns(_ context.Context, _ string, n int) (mission.Next, error) {
	if n%3 != 0 {
		return mission.Go, nil
	}
	return mission.Parked, nil
}

func TestASegmentGoesOnUntilTheRunWaits(t *testing.T) {
	began := make(chan struct{})
	w := newWorker(func(ctx context.Context, run string, n int) (mission.Next, error) {
		<-began
		return threeTurns(ctx, run, n)
	})
	e := open(t, t.TempDir(), w)
	defer e.Close(10 * time.Second)
	if start(t, e, "run_1", 1) {
		t.Error("it had ended before it began")
	}
	close(began)
	w.ends(t, "run_1")
	ended(t, e, "run_1", 1)
	if n := w.count("run_1"); n != 3 {
		t.Errorf("%d turns", n)
	}
	start(t, e, "run_1", 2) // the Decision's
	w.ends(t, "run_1")
	if n := w.count("run_1"); n != 6 {
		t.Errorf("%d turns", n)
	}
}

func TestStartingASegmentAgainIsNoSecondOne(t *testing.T) {
	hold := make(chan struct{})
	w := newWorker(func(context.Context, string, int) (mission.Next, error) { <-hold; return mission.Done, nil })
	dir := t.TempDir()
	e := open(t, dir, w)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := e.Start(t.Context(), dbos.Segment{Tenant: "acme", Run: "run_1", Number: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(hold)
	w.ends(t, "run_1")
	ended(t, e, "run_1", 1)
	e.Close(10 * time.Second)
	e = open(t, dir, w)
	defer e.Close(10 * time.Second)
	if !start(t, e, "run_1", 1) || w.count("run_1") != 1 {
		t.Errorf("%d turns", w.count("run_1"))
	}
}

func TestATurnThatFailsIsTriedAgain(t *testing.T) {
	w := newWorker(func(_ context.Context, _ string, n int) (mission.Next, error) {
		if n == 1 {
			return "", errors.New("not yet")
		}
		return mission.Done, nil
	})
	e := open(t, t.TempDir(), w)
	defer e.Close(10 * time.Second)
	start(t, e, "run_1", 1)
	w.ends(t, "run_1")
	if n := w.count("run_1"); n != 2 {
		t.Errorf("%d turns", n)
	}
}

// The server is stopped in mid-turn. The turns that were made are not made again;
// the one that was cut is, by whichever way the engine holds the segment.
func TestASegmentThatWasCutByTheEndGoesOnAfterIt(t *testing.T) {
	dir := t.TempDir()
	cut := newWorker(func(ctx context.Context, _ string, n int) (mission.Next, error) {
		if n < 3 {
			return mission.Go, nil
		}
		<-ctx.Done()
		return "", ctx.Err()
	})
	e := open(t, dir, cut)
	start(t, e, "run_1", 1)
	for range 3 {
		cut.begins(t)
	}
	e.Close(10 * time.Second)

	w := newWorker(func(context.Context, string, int) (mission.Next, error) { return mission.Done, nil })
	e = open(t, dir, w)
	defer e.Close(10 * time.Second)
	// As the program does for a Run that is under way: the recovered segment may
	// have made its turn before it is asked about.
	if start(t, e, "run_1", 1) && w.count("run_1") == 0 {
		start(t, e, "run_1", 2)
	}
	w.ends(t, "run_1")
	if n := w.count("run_1"); n != 1 {
		t.Errorf("%d turns after the restart", n)
	}
	select {
	case what := <-cut.over:
		t.Errorf("the end of the server was the end of %s", what)
	default:
	}
}

// The turn does not heed the end of the server: its outcome is not waited for
// without end, and it is made again.
func TestATurnThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	dir, hold := t.TempDir(), make(chan struct{})
	hung := newWorker(func(context.Context, string, int) (mission.Next, error) { <-hold; return mission.Done, nil })
	e := open(t, dir, hung)
	start(t, e, "run_1", 1)
	hung.begins(t)
	e.Close(50 * time.Millisecond)
	w := newWorker(func(context.Context, string, int) (mission.Next, error) { return mission.Done, nil })
	e = open(t, dir, w)
	if start(t, e, "run_1", 1) {
		start(t, e, "run_1", 2)
	}
	w.ends(t, "run_1")
	e.Close(10 * time.Second)
	close(hold)
	hung.ends(t, "run_1")
}

// The engine's database costs what was under way, nothing more.
func TestALostDatabaseStartsAgain(t *testing.T) {
	dir := t.TempDir()
	w := newWorker(func(context.Context, string, int) (mission.Next, error) { return mission.Parked, nil })
	e := open(t, dir, w)
	start(t, e, "run_1", 1)
	w.ends(t, "run_1")
	ended(t, e, "run_1", 1)
	e.Close(10 * time.Second)
	files, err := filepath.Glob(filepath.Join(dir, dbos.File+"*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	e = open(t, dir, w)
	defer e.Close(10 * time.Second)
	if start(t, e, "run_1", 1) {
		t.Error("it is held for ended")
	}
	w.ends(t, "run_1")
	if n := w.count("run_1"); n != 2 {
		t.Errorf("%d turns", n)
	}
}

func TestTheEnginesDatabaseIsForTheOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newWorker(threeTurns))
	defer e.Close(10 * time.Second)
	files, err := filepath.Glob(filepath.Join(dir, dbos.File+"*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f, info.Mode(), err)
		}
	}
}

func TestADirectoryThatIsNotThereIsAnError(t *testing.T) {
	_, err := dbos.New(t.Context(), filepath.Join(t.TempDir(), "nothing"), newWorker(threeTurns), slog.New(slog.DiscardHandler))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("it said %v", err)
	}
}
