package sqlite_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/sqlite"
)

// envKills is how often the process is killed; a few times without it.
const envKills = "SALLYPORT_TEST_KILLS"

func init() { children["appending until it is killed"] = appendingUntilKilled }

// appendingUntilKilled appends from many callers, and says of each entry that it was
// acknowledged, after it was.
func appendingUntilKilled(t *testing.T, dir string) {
	s := open(t, dir)
	base, err := strconv.Atoi(os.Getenv("SALLYPORT_TEST_BASE"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				n := base + c + 16*i
				err := s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(n)) })
				mu.Lock()
				if err == nil {
					fmt.Fprintf(os.Stdout, "acknowledged %d\n", n)
				} else {
					fmt.Fprintln(os.Stdout, "refused:", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKilledWhileAppendingEveryAcknowledgedEntryIsThere kills the process with
// SIGKILL in the middle of group commits, again and again, on one log.
func TestKilledWhileAppendingEveryAcknowledgedEntryIsThere(t *testing.T) {
	t.Parallel()
	rounds := 4
	if s := os.Getenv(envKills); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	acked := map[string]bool{}
	var kept []byte
	for round := range rounds {
		for _, n := range killAppending(t, dir, round*1_000_000, 50+rand.IntN(400)) {
			acked["run_"+n] = true
		}
		rep := verify(t, dir, audit.VerifyOptions{KeptCheckpoint: kept})
		if !rep.OK() {
			t.Fatalf("round %d: %v", round, rep.Findings())
		}
		kept = []byte(rep.Logs[0].Checkpoint)
		s := open(t, dir)
		there := map[string]bool{}
		for from := int64(1); ; {
			rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, from, 5000)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			for _, r := range rows {
				if there[r.Run] {
					t.Fatalf("round %d: %s is there twice", round, r.Run)
				}
				there[r.Run], from = true, r.Index+1
			}
		}
		for run := range acked {
			if !there[run] {
				t.Fatalf("round %d: %s was acknowledged, and is not there", round, run)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d entries acknowledged, none lost", rounds, len(acked))
}

// killAppending runs the process and kills it when it has acknowledged some. It gives
// all that were acknowledged, those on the way included.
func killAppending(t *testing.T, dir string, base, after int) (acked []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildProcess$")
	cmd.Env = append(os.Environ(), crashTest+"=appending until it is killed", crashDir+"="+dir, fmt.Sprintf("SALLYPORT_TEST_BASE=%d", base))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
		if !ok {
			t.Errorf("the process says %q", lines.Text())
			break
		}
		if acked = append(acked, n); len(acked) == after {
			_ = cmd.Process.Kill() // SIGKILL; what it has printed until then still comes
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(acked) < after {
		t.Fatalf("the process ended by itself after %d entries", len(acked))
	}
	return acked
}
