package rest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/rest"
)

// A stream is given as it comes, and a server that does not begin one in time, or
// answers something else, gives none.
func TestAStreamComesBitByBitOrNotAtAll(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			select {
			case <-r.Context().Done():
			case <-over:
			}
			return
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
			return
		case "/elsewhere":
			http.Redirect(w, r, "/bits", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	defer s.Close()
	defer s.CloseClientConnections()
	c, err := rest.Client(rest.Options{Whose: "the test's", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, patience time.Duration) (rest.Answer, io.ReadCloser, error) {
		return rest.Stream(t.Context(), c, "the server", rest.Request{Method: http.MethodGet, URL: s.URL + path}, patience)
	}
	a, body, err := get("/bits", time.Minute)
	if err != nil || a.Status != 200 {
		t.Fatalf("%v, %v", a, err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(body, b); err != nil || string(b) != "one\n" {
		t.Errorf("it begins with %q, %v", b, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	for path, status := range map[string]int{"/refused": 403, "/elsewhere": 302} {
		if a, body, err := get(path, time.Minute); err != nil || a.Status != status || body != nil {
			t.Errorf("%s: %v, %v, %v", path, a, body, err)
		}
	}
	if _, body, err := get("/late", 20*time.Millisecond); !fault.Is(err, fault.Unavailable) || body != nil {
		t.Errorf("late: %v, %v", body, err)
	}
}
