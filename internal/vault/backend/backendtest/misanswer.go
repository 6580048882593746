package backendtest

import (
	"net/http"
	"strings"
	"sync"
)

// Misanswer makes a fake over HTTP do what is the same for every provider: it answers
// without an end, cuts begin off, points elsewhere, or says nothing until the client
// gives up. held is the fake's lock, which its handler has, or nil. False: the fault is
// the provider's own.
func Misanswer(w http.ResponseWriter, r *http.Request, f Fault, held sync.Locker, begin string) bool {
	switch f {
	case Endless:
		for range 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 4<<10))); err != nil {
				break
			}
		}
	case Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(begin))
	case Elsewhere:
		w.Header().Set("Location", "/x")
		w.WriteHeader(http.StatusFound)
	case Silent:
		if held != nil {
			held.Unlock()
			defer held.Lock()
		}
		<-r.Context().Done()
	default:
		return false
	}
	return true
}
