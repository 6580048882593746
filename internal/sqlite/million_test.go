package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/sqlite"
)

// envEntries turns the long measurement on: how many entries the large log has.
const envEntries = "SALLYPORT_TEST_ENTRIES"

// fill brings a log to n entries, many in each step.
func fill(t testing.TB, s *sqlite.Store, n int64) {
	t.Helper()
	head, err := s.Audit().Head(t.Context(), "acme")
	size := head.Size
	if err != nil {
		size = 0
	}
	for size < n {
		add := min(2000, n-size)
		if size == 0 {
			add = max(1, add-1) // the first entry opens the log
		}
		if err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
			for i := range add {
				if err := tx.Audit(ended(int(size + i))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if head, err = s.Audit().Head(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		size = head.Size
	}
}

// measured is what one size of a log costs.
type measured struct {
	append1, append64, prove time.Duration // of one
	heap                     uint64        // bytes in use after a collection
}

func measure(t *testing.T, s *sqlite.Store, size int64) (m measured) {
	t.Helper()
	m.append1 = costOf(t, s, 1, 500)
	m.append64 = costOf(t, s, 64, 10_000)
	r := rand.New(rand.NewPCG(1, 2))
	const proofs = 500
	begin := time.Now()
	for range proofs {
		if _, err := audit.Prove(t.Context(), s.Audit(), "acme", r.Int64N(size)); err != nil {
			t.Fatal(err)
		}
	}
	m.prove = time.Since(begin) / proofs
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m.heap = mem.HeapInuse
	return m
}

// costOf is how long one durable append takes with so many callers.
func costOf(t *testing.T, s *sqlite.Store, callers, n int) time.Duration {
	t.Helper()
	var wg sync.WaitGroup
	begin := time.Now()
	for range callers {
		wg.Go(func() {
			for i := range n / callers {
				if err := s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(i)) }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin) / time.Duration(n/callers*callers)
}

// TestAMillionEntriesCostNoMoreThanTenThousand compares appending, proving and
// memory of a small and a large log. "make audit-bench" runs it.
func TestAMillionEntriesCostNoMoreThanTenThousand(t *testing.T) {
	many, err := strconv.ParseInt(os.Getenv(envEntries), 10, 64)
	if err != nil {
		t.Skipf("%s says how many entries", envEntries)
	}
	s := open(t, t.TempDir())
	const few = 10_000
	fill(t, s, few)
	small := measure(t, s, few)
	begin := time.Now()
	fill(t, s, many)
	t.Logf("filled to %d entries in %s", many, time.Since(begin).Round(time.Second))
	large := measure(t, s, many)
	ratio := func(a, b time.Duration) float64 { return float64(b) / float64(a) }
	rate := func(d time.Duration) int { return int(time.Second / d) }
	for _, line := range []string{
		fmt.Sprintf("durable appends, 1 caller:   %6d/s at %d, %6d/s at %d, time x %.2f", rate(small.append1), few, rate(large.append1), many, ratio(small.append1, large.append1)),
		fmt.Sprintf("durable appends, 64 callers: %6d/s at %d, %6d/s at %d, time x %.2f", rate(small.append64), few, rate(large.append64), many, ratio(small.append64, large.append64)),
		fmt.Sprintf("receipts: %s at %d, %s at %d, time x %.2f", small.prove, few, large.prove, many, ratio(small.prove, large.prove)),
		fmt.Sprintf("heap in use: %d KiB at %d, %d KiB at %d", small.heap>>10, few, large.heap>>10, many),
	} {
		t.Log(line)
	}
	if ratio(small.append64, large.append64) > 2 || ratio(small.append1, large.append1) > 2 || ratio(small.prove, large.prove) > 3 || large.heap > small.heap+16<<20 {
		t.Error("the large log costs more")
	}
}

func BenchmarkProve(b *testing.B) {
	s := open(b, b.TempDir())
	fill(b, s, 10_000)
	for i := 0; b.Loop(); i++ {
		if _, err := audit.Prove(b.Context(), s.Audit(), "acme", int64(i*7919%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}
