package sqlite_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/sqlite"
)

// closed is a data directory with a log of n entries, and its last checkpoint.
func closed(t *testing.T, n int) (dir string, kept audit.LogReport) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	for i := 1; i < n; i++ {
		record(t, s, ended(i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rep := verify(t, dir, audit.VerifyOptions{})
	if !rep.OK() {
		t.Fatal(rep.Findings())
	}
	return dir, rep.Logs[0]
}

// TestVerificationNamesWhatWasDone: each way to change the database is found,
// and named with its place.
func TestVerificationNamesWhatWasDone(t *testing.T) {
	leaf := func(i int64) int64 { return tlog.StoredHashIndex(0, i) }
	node := func(level int, n int64) int64 { return tlog.StoredHashIndex(level, n) }
	for name, c := range map[string]struct {
		queries []string
		want    []string // "kind index"
	}{
		"a flipped bit in an entry": {
			[]string{"UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'run_5', 'run_4') AS BLOB), run = 'run_4' WHERE idx = 5"},
			[]string{"entry-altered 5"}},
		"an entry that is no JSON": {
			[]string{"UPDATE audit_entry SET entry = x'ff' WHERE idx = 5"},
			[]string{"entry-malformed 5", "entry-altered 5"}},
		"white space in an entry": {
			[]string{"UPDATE audit_entry SET entry = CAST(CAST(entry AS TEXT) || ' ' AS BLOB) WHERE idx = 0"},
			[]string{"entry-malformed 0", "entry-altered 0"}},
		"an entry and its hash": {
			[]string{
				"UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'run_6', 'run_4') AS BLOB), run = 'run_4' WHERE idx = 6",
				hashOfSpoiled(6, "run_4")},
			[]string{"root-mismatch -1"}}, // entry 6 of 7: its hash is on the edge
		"changed time column":       {[]string{"UPDATE audit_entry SET at = at + 1 WHERE idx = 3"}, []string{"column-altered 3"}},
		"changed actor column":      {[]string{"UPDATE audit_entry SET actor = 'person:x' WHERE idx = 3"}, []string{"column-altered 3"}},
		"changed type column":       {[]string{"UPDATE audit_entry SET type = 'run.started' WHERE idx = 3"}, []string{"column-altered 3"}},
		"changed run column":        {[]string{"UPDATE audit_entry SET run = '' WHERE idx = 3"}, []string{"column-altered 3"}},
		"changed intent column":     {[]string{"UPDATE audit_entry SET intent = 'int_2' WHERE idx = 3"}, []string{"column-altered 3"}},
		"changed connection column": {[]string{"UPDATE audit_entry SET connection = 'x' WHERE idx = 3"}, []string{"column-altered 3"}},
		"swapped rows": {
			[]string{"UPDATE audit_entry SET idx = -1 WHERE idx = 2", "UPDATE audit_entry SET idx = 2 WHERE idx = 4", "UPDATE audit_entry SET idx = 4 WHERE idx = -1"},
			[]string{"entry-misplaced 2", "entry-misplaced 4", "entry-altered 2", "entry-altered 4"}},
		"a missing row": {[]string{"DELETE FROM audit_entry WHERE idx = 3"}, []string{"entry-missing 3"}},
		"a missing row with its hash": {
			[]string{"DELETE FROM audit_entry WHERE idx = 4", fmt.Sprintf("DELETE FROM audit_hash WHERE idx = %d", leaf(4))},
			[]string{"entry-missing 4"}},
		"a hole with its hashes": {
			[]string{"DELETE FROM audit_entry WHERE idx IN (2, 3, 4)", "DELETE FROM audit_hash WHERE idx BETWEEN 3 AND 7"},
			[]string{"entry-missing 2"}},
		"a row far out, to keep verification busy": {
			[]string{"UPDATE audit_head SET size = 1 << 62, checkpoint = x'00'", "UPDATE audit_entry SET idx = 1 << 50 WHERE idx = 6"},
			[]string{"checkpoint-bad -1", "entry-missing 6", "entry-missing 7", "hash-missing 2251799813685247",
				"entry-misplaced 1125899906842624", "entry-missing 1125899906842625"}},
		"the first entry": {[]string{"DELETE FROM audit_entry WHERE idx = 0"}, []string{"entry-missing 0"}},
		"all rows":        {[]string{"DELETE FROM audit_entry"}, []string{"entry-missing 0", "entry-missing 1", "entry-missing 2", "entry-missing 3", "entry-missing 4", "entry-missing 5", "entry-missing 6"}},
		"an extra row": {
			[]string{"INSERT INTO audit_entry SELECT tenant, 7, at, type, actor, run, intent, connection, entry FROM audit_entry WHERE idx = 6"},
			[]string{"entry-extra 7"}},
		"a row before the first": {
			[]string{"INSERT INTO audit_entry SELECT tenant, -9, at, type, actor, run, intent, connection, entry FROM audit_entry WHERE idx = 6"},
			[]string{"entry-extra -9"}},
		"a row at the end of numbers": {
			[]string{"UPDATE audit_entry SET idx = 9223372036854775807 WHERE idx = 6"},
			[]string{"entry-missing 6", "entry-extra 9223372036854775807"}},
		"a changed leaf hash":    {[]string{fmt.Sprintf("UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = %d", leaf(3))}, []string{fmt.Sprintf("hash-altered %d", leaf(3))}},
		"a changed inner hash":   {[]string{fmt.Sprintf("UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = %d", node(1, 1))}, []string{fmt.Sprintf("hash-altered %d", node(1, 1))}},
		"a hash that is short":   {[]string{fmt.Sprintf("UPDATE audit_hash SET hash = x'00' WHERE idx = %d", leaf(3))}, []string{fmt.Sprintf("hash-altered %d", leaf(3))}},
		"a missing leaf hash":    {[]string{fmt.Sprintf("DELETE FROM audit_hash WHERE idx = %d", leaf(3))}, []string{fmt.Sprintf("hash-missing %d", leaf(3))}},
		"a missing inner hash":   {[]string{fmt.Sprintf("DELETE FROM audit_hash WHERE idx = %d", node(2, 0))}, []string{fmt.Sprintf("hash-missing %d", node(2, 0))}},
		"an extra hash":          {[]string{"INSERT INTO audit_hash VALUES ('acme', 1000, zeroblob(32))"}, []string{"hash-extra 1000"}},
		"a hash before all":      {[]string{"INSERT INTO audit_hash VALUES ('acme', -5, zeroblob(32))"}, []string{"hash-extra -5"}},
		"a changed checkpoint":   {[]string{"UPDATE audit_head SET checkpoint = CAST(replace(CAST(checkpoint AS TEXT), 'acme', 'acmf') AS BLOB)"}, []string{"checkpoint-bad -1", "checkpoint-bad -1"}},
		"a garbled checkpoint":   {[]string{"UPDATE audit_head SET checkpoint = x'00ff'"}, []string{"checkpoint-bad -1"}},
		"a changed size":         {[]string{"UPDATE audit_head SET size = 6"}, []string{"checkpoint-size -1"}},
		"a giant size":           {[]string{"UPDATE audit_head SET size = 9223372036854775807"}, []string{"checkpoint-size -1"}},
		"a changed verifier":     {[]string{"UPDATE audit_head SET verifier = 'sallyport.dev/log/acme+1+AA'"}, []string{"key-changed -1"}},
		"a changed latest time":  {[]string{"UPDATE audit_head SET at = at - 3600000"}, []string{"column-altered -1"}},
		"a missing head":         {[]string{"DELETE FROM audit_head"}, []string{"head-missing -1"}},
		"a head of nobody":       {[]string{"INSERT INTO audit_head SELECT 'globex', size, checkpoint, verifier, generation, at FROM audit_head"}, []string{"checkpoint-bad -1", "entry-missing 0"}},
		"a cut tail, head left":  {[]string{"DELETE FROM audit_entry WHERE idx >= 5", fmt.Sprintf("DELETE FROM audit_hash WHERE idx >= %d", leaf(5))}, []string{"entry-missing 5"}},
		"another tenant's entry": {[]string{"INSERT INTO audit_entry SELECT 'globex', idx, at, type, actor, run, intent, connection, entry FROM audit_entry WHERE idx = 0"}, []string{"head-missing -1", "hash-missing 0", "entry-misplaced 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, kept := closed(t, 7)
			tamper(t, dir, c.queries...)
			opts := audit.VerifyOptions{VerifierKey: kept.Verifier}
			var got []string
			for _, f := range verify(t, dir, opts).Findings() {
				got = append(got, fmt.Sprintf("%s %d", f.Kind, f.Index))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

// hashOfSpoiled is the query that makes the stored hash of an entry fit what it
// was changed to.
func hashOfSpoiled(i int64, now string) string {
	ev := ended(int(i))
	ev.Run = now
	b, err := audit.Encode(i, ev)
	if err != nil {
		panic(err)
	}
	h := tlog.RecordHash(b)
	return fmt.Sprintf("UPDATE audit_hash SET hash = x'%s' WHERE idx = %d", hex.EncodeToString(h[:]), tlog.StoredHashIndex(0, i))
}

// rewritten replaces the log in dir by one of n other entries, signed with the
// right key: what the operator of the server can do.
func rewritten(t *testing.T, dir string, n int) {
	t.Helper()
	tamper(t, dir, "DELETE FROM audit_entry", "DELETE FROM audit_hash", "DELETE FROM audit_head")
	s := open(t, dir)
	for i := 1; i < n; i++ {
		record(t, s, ended(1000+i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAKeptCheckpointFindsATruncationAndAFork(t *testing.T) {
	kinds := func(rep audit.Report) (out []audit.FindingKind) {
		for _, f := range rep.Findings() {
			out = append(out, f.Kind)
		}
		return out
	}
	for _, c := range []struct {
		name string
		size int
		want audit.FindingKind
	}{{"truncated and signed again", 5, audit.Truncated}, {"a fork of the same size", 8, audit.Forked}, {"a longer fork", 20, audit.Forked}} {
		t.Run(c.name, func(t *testing.T) {
			dir, kept := closed(t, 8)
			rewritten(t, dir, c.size)
			opts := audit.VerifyOptions{VerifierKey: kept.Verifier}
			if rep := verify(t, dir, opts); !rep.OK() {
				t.Fatalf("without the kept checkpoint nothing can be found, but: %v", rep.Findings())
			}
			opts.KeptCheckpoint = []byte(kept.Checkpoint)
			if got := kinds(verify(t, dir, opts)); !slices.Equal(got, []audit.FindingKind{c.want}) {
				t.Errorf("found %v, want %s", got, c.want)
			}
		})
	}
	t.Run("signed again by another key", func(t *testing.T) {
		dir, kept := closed(t, 8)
		tamper(t, dir, "DELETE FROM audit_entry", "DELETE FROM audit_hash", "DELETE FROM audit_head")
		s := openWith(t, dir, func(ident.Tenant, int64) (crypto.Signer, error) { return ed25519.NewKeyFromSeed(make([]byte, 32)), nil })
		record(t, s, ended(1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got := kinds(verify(t, dir, audit.VerifyOptions{VerifierKey: kept.Verifier}))
		if want := []audit.FindingKind{audit.KeyChanged}; !slices.Equal(got, want) {
			t.Errorf("with the known key: found %v, want %v", got, want)
		}
		got = kinds(verify(t, dir, audit.VerifyOptions{KeptCheckpoint: []byte(kept.Checkpoint)}))
		if want := []audit.FindingKind{audit.KeptUnverifiable, audit.Truncated}; !slices.Equal(got, want) {
			t.Errorf("with the kept checkpoint: found %v, want %v", got, want)
		}
	})
	t.Run("an honest continuation", func(t *testing.T) {
		dir, kept := closed(t, 8)
		s := open(t, dir)
		record(t, s, ended(100), ended(101), ended(102))
		rep := verify(t, dir, audit.VerifyOptions{VerifierKey: kept.Verifier, KeptCheckpoint: []byte(kept.Checkpoint)})
		if !rep.OK() || !rep.Logs[0].Against || !rep.Logs[0].Pinned || rep.Logs[0].Size != 11 {
			t.Errorf("report %+v", rep)
		}
	})
	t.Run("a kept checkpoint that was forged", func(t *testing.T) {
		dir, kept := closed(t, 8)
		forged := []byte(kept.Checkpoint)
		forged[len(forged)-5] ^= 1
		got := kinds(verify(t, dir, audit.VerifyOptions{KeptCheckpoint: forged}))
		if !slices.Contains(got, audit.KeptUnverifiable) {
			t.Errorf("found %v", got)
		}
	})
	t.Run("the whole log is gone", func(t *testing.T) {
		dir, kept := closed(t, 8)
		tamper(t, dir, "DELETE FROM audit_entry", "DELETE FROM audit_hash", "DELETE FROM audit_head")
		for _, opts := range []audit.VerifyOptions{{}, {VerifierKey: kept.Verifier}, {KeptCheckpoint: []byte(kept.Checkpoint)}} {
			if got := kinds(verify(t, dir, opts)); !slices.Equal(got, []audit.FindingKind{audit.LogMissing}) {
				t.Errorf("found %v", got)
			}
		}
	})
	t.Run("options that are no key and no checkpoint", func(t *testing.T) {
		dir, _ := closed(t, 2)
		src, err := sqlite.OpenAudit(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		for _, opts := range []audit.VerifyOptions{{VerifierKey: "x"}, {KeptCheckpoint: []byte("x")}, {KeptCheckpoint: []byte{}}} {
			if _, err := audit.Verify(t.Context(), src, opts); !fault.Is(err, fault.Invalid) {
				t.Errorf("%+v: %v", opts, err)
			}
		}
	})
}

func TestVerificationLeavesAClosedDirectoryAsItIs(t *testing.T) {
	dir, _ := closed(t, 5)
	names := func() (out []string) {
		es, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(e.Name(), info.Size(), info.ModTime()))
		}
		return out
	}
	before := names()
	inOrder(t, dir, 5)
	if after := names(); !slices.Equal(before, after) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
}

func TestVerificationSeesOneMoment(t *testing.T) {
	t.Run("of a running server", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		record(t, s, ended(1))
		src, err := sqlite.OpenAudit(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := src.Head(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		record(t, s, ended(2), ended(3))
		rep, err := audit.Verify(t.Context(), src, audit.VerifyOptions{})
		if err != nil || !rep.OK() || rep.Logs[0].Size != 2 {
			t.Errorf("report %+v, %v", rep, err)
		}
	})
	t.Run("or says that a server was started", func(t *testing.T) {
		dir, _ := closed(t, 5)
		src, err := sqlite.OpenAudit(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		s := open(t, dir)
		record(t, s, ended(9))
		if _, err := audit.Verify(t.Context(), src, audit.VerifyOptions{}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("it said %v", err)
		}
	})
}

func TestThereIsNothingToVerifyWithoutADatabase(t *testing.T) {
	dir := t.TempDir()
	if _, err := sqlite.OpenAudit(context.Background(), dir); !fault.Is(err, fault.NotFound) {
		t.Errorf("it said %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, sqlite.File)); err == nil {
		t.Error("it made one")
	}
}
