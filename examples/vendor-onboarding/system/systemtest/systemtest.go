// Package systemtest starts one of the example's systems within a test, with a
// control listener, and talks to both. It is imported by tests alone.
package systemtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
)

// Server is a started system.
type Server struct {
	URL, Control string // http://127.0.0.1:PORT
	t            testing.TB
	run          *system.Running
	closed       bool
}

// Start starts sys with its state in dir and these credentials. It is closed
// with the test, if not before.
func Start(t testing.TB, sys system.System, dir string, keys ...system.Credential) *Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials.json")
	WriteKeys(t, path, keys...)
	run, err := sys.Start(context.Background(), system.Options{Data: dir, Credentials: path, Control: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: "http://" + run.Addr, Control: "http://" + run.Control, t: t, run: run}
	t.Cleanup(s.Close)
	return s
}

// WriteKeys writes a credentials file.
func WriteKeys(t testing.TB, path string, keys ...system.Credential) {
	t.Helper()
	b, err := json.Marshal(system.File{Credentials: keys})
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Close stops the system.
func (s *Server) Close() {
	if s.closed {
		return
	}
	s.closed = true
	http.DefaultClient.CloseIdleConnections()
	if err := s.run.Close(); err != nil {
		s.t.Error(err)
	}
}

// Answer is an answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON decodes the answer's body into v.
func (a Answer) JSON(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		t.Fatalf("the answer %d %.200q is not JSON: %v", a.Status, a.Body, err)
	}
}

// Try sends a request; headers are "Name: value". A body is sent as JSON. It
// follows no redirect.
func Try(method, url, body string, headers ...string) (Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, string(b)}, err
}

// Do sends a request to the system, or to its control listener when path
// begins with "control:"; it has to be answered.
func (s *Server) Do(method, path, body string, headers ...string) Answer {
	s.t.Helper()
	base := s.URL
	if p, ok := strings.CutPrefix(path, "control:"); ok {
		base, path = s.Control, p
	}
	a, err := Try(method, base+path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Behave sets a behaviour.
func (s *Server) Behave(b system.Behaviour) {
	s.t.Helper()
	body, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	if a := s.Do("POST", "control:/behaviour", string(body)); a.Status != http.StatusOK {
		s.t.Fatalf("behaviour: %+v", a)
	}
}

// Stats reads the counts.
func (s *Server) Stats() system.Stats {
	s.t.Helper()
	var st system.Stats
	s.Do("GET", "control:/stats", "").JSON(s.t, &st)
	return st
}

// AwaitHeld waits until n requests are held.
func (s *Server) AwaitHeld(n string) {
	s.t.Helper()
	if a := s.Do("GET", "control:/held?at_least="+n, ""); a.Status != http.StatusOK {
		s.t.Fatalf("held: %+v", a)
	}
}

// Release lets all held requests go.
func (s *Server) Release() {
	s.t.Helper()
	if a := s.Do("POST", "control:/release", ""); a.Status != http.StatusOK {
		s.t.Fatalf("release: %+v", a)
	}
}
