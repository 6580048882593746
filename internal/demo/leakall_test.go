package demo_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/sqlite"
)

// TestLeakNothingComesOutOfAnyDoor opens every door of the table, has the system
// behind it say what it knows in every way there is, and searches every sink.
func TestLeakNothingComesOutOfAnyDoor(t *testing.T) {
	t.Parallel()
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	w := start(t, func(c *demo.Config) {
		c.LogHandler = slog.NewMultiHandler(slog.NewTextHandler(s.at("logs"), debug), slog.NewJSONHandler(s.at("logs in JSON"), debug))
	})
	h := beHostile(t)
	w.openDoors(h)
	begun := time.Now()
	cases, runs := w.askAll(s)
	t.Logf("asked in %v", time.Since(begun))
	h.received(t)
	w.crawl(s, runs)
	routes, calls := w.crawlRoutes(s, runs, doors[0].own().Value)
	t.Logf("%d routes, %d calls of them", routes, calls)
	t.Logf("crawled after %v", time.Since(begun))
	for _, file := range []string{sqlite.File, "engine.db"} {
		s.rows(t, filepath.Join(demo.ServerDir(w.dir), file))
	}
	var all []leaktest.Canary
	for _, d := range doors {
		all = append(all, d.canaries()...)
	}
	s.clean(t, all, "logs", "logs in JSON", "answers of the API")
	t.Logf("leak suite end to end: %d cases, %d doors, %d canaries, %d sinks", cases, len(doors), len(all), len(s.seen))
}
