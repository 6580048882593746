package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/mcptest"
)

// cpuTime is what this process has used of the processors.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spent is what calls took: the median by the clock, and each of the processors.
type spent struct{ p50, cpu time.Duration }

// calls makes some with so many clients at once.
func calls(t testing.TB, c mcptest.Client, clients, each int, tool string) spent {
	t.Helper()
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	before := cpuTime(t)
	for k := range clients {
		wg.Go(func() {
			for i := range each {
				begun := time.Now()
				a, err := c.Tool(context.WithoutCancel(t.Context()), tool, fmt.Sprintf(`{"n":%d}`, i))
				took[k] = append(took[k], time.Since(begun))
				if err != nil || a.Field("structuredContent", "n") != fmt.Sprint(i) {
					t.Errorf("%v %s", err, a.Result)
					return
				}
			}
		})
	}
	wg.Wait()
	cpu := cpuTime(t) - before
	all := slices.Concat(took...)
	slices.Sort(all)
	return spent{all[len(all)/2], cpu / time.Duration(len(all))}
}

// BenchmarkMCPCall compares a read over MCP through the whole program, with policy,
// audit log on disk and scrubbing, with the same call made to the server directly:
// what it adds by the clock and of the processors. Client and server are in the same
// process in both, and the two take turns, so that other load meets both.
func BenchmarkMCPCall(b *testing.B) {
	h, l := newTill(b, true, nil)
	for n := range 20 { // which each answer is searched for
		h.known(fmt.Sprint("system-", n), fmt.Sprintf("cnry-%02d-4Kq81LmmYpT7d46", n))
	}
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint("clients-", clients), func(b *testing.B) {
			through := h.agent()
			through.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			direct := mcptest.Client{URL: l.url, Token: tillKey, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
			const rounds = 5
			each := 320 / clients
			calls(b, direct, clients, 20, "look")
			calls(b, through, clients, 20, "till__look")
			var p50, cpu, bare, bareCPU []time.Duration
			for b.Loop() {
				for range rounds {
					d, t := calls(b, direct, clients, each, "look"), calls(b, through, clients, each, "till__look")
					p50, cpu = append(p50, t.p50-d.p50), append(cpu, t.cpu-d.cpu)
					bare, bareCPU = append(bare, d.p50), append(bareCPU, d.cpu)
				}
			}
			report := func(name string, of []time.Duration) float64 {
				slices.Sort(of)
				us := float64(of[len(of)/2].Nanoseconds()) / 1e3
				b.ReportMetric(us, name)
				return us
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(report("added-p50-us", p50)/report("direct-p50-us", bare), "p50-ratio")
			b.ReportMetric(report("added-cpu-us", cpu)/report("direct-cpu-us", bareCPU), "cpu-ratio")
		})
	}
}
