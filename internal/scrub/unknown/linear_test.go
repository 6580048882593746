//go:build linux

package unknown_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/scrub/unknown"
)

// cpu is what this thread has used of a processor. What else the machine does
// hardly counts in it.
func cpu(t *testing.T) time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestTimeIsLinearInTheText compares texts of one length with texts of four
// times that, by the processor's time, which comes in ticks of some
// milliseconds. Quadratic time would be sixteen times as long.
func TestTimeIsLinearInTheText(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	const small, factor, most = 256 << 10, 4, 9
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := func(text []byte) time.Duration {
		least := time.Hour
		for range 3 {
			begin := cpu(t)
			unknown.Find(text)
			least = min(least, cpu(t)-begin)
		}
		return least
	}
	unknown.Find(nil)
	for name, unit := range hostile() {
		quick, slow := best(repeat(unit, small)), best(repeat(unit, small*factor))
		t.Logf("%-10s %8v %8v", name, quick, slow)
		if slow > most*max(quick, 8*time.Millisecond) {
			t.Errorf("%s: %v for %d bytes, %v for %d times that", name, quick, small, slow, factor)
		}
	}
}
