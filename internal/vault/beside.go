package vault

import (
	"runtime"

	"sallyport.dev/internal/crash"
)

// besideFrom is from how many items on several processors share work.
const besideFrom = 256

// beside calls f with 0 to n-1, side by side where that is worth it: a start has
// thousands of rows to verify.
func beside(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/besideFrom)
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg crash.Group
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}
