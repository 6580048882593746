package httpcred_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// A door passes on no error as it is, and still its sender knows what is worth
// another try, from the transport below: a cut before an answer began is, and one
// in the middle of it is not.
func TestASenderBeforeADoorKnowsWhatIsOfTheMoment(t *testing.T) {
	for answer, want := range map[string]bool{"": true, "HTTP/1.1 20": false, "HTTP/1.1 200 OK\r\nContent-Le": false} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			base := script(t, answer)
			pool, err := dial.Transport(resource.Network{AllowLoopbackHTTP: true}, dial.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.CloseIdleConnections)
			door := open(t, resource.Auth{Scheme: resource.SchemeBearer}, base, pool)
			r, out, err := dial.Send(t.Context(), door, intent.Request{Method: http.MethodGet, URL: base}, dial.Call{Timeout: 5 * time.Second, MaxBody: 1 << 10})
			if err == nil || r.Passing != want {
				t.Errorf("passing %v, %q, %v", r.Passing, out, err)
			}
		})
	}
}
