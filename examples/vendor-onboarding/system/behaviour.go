package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mode is a way in which a system misbehaves when a test tells it to.
type Mode string

// The modes. All but Echo act on authenticated requests only.
const (
	Normal     Mode = ""
	Echo       Mode = "echo"        // the answer also repeats what was received, in many encodings
	EchoError  Mode = "echo-error"  // status 500 whose text repeats what was received
	FailMode   Mode = "fail"        // status 500 (or Status), nothing done
	HTML       Mode = "html"        // status 200 (or Status) with a web page
	Huge       Mode = "huge"        // 30 MB of JSON
	Hang       Mode = "hang"        // held before anything is done
	SlowCommit Mode = "slow-commit" // done durably, then held before the answer
	Drop       Mode = "drop"        // done durably, then the connection is cut
	Redirect   Mode = "redirect"    // 307 to Location
)

var modes = []Mode{Normal, Echo, EchoError, FailMode, HTML, Huge, Hang, SlowCommit, Drop, Redirect}

// Behaviour is what POST /behaviour on the control listener takes.
type Behaviour struct {
	Mode     Mode   `json:"mode"`
	Status   int    `json:"status,omitempty"`   // of fail and html
	Location string `json:"location,omitempty"` // of redirect
	Times    int    `json:"times,omitempty"`    // for how many requests; 0 until changed
	Method   string `json:"method,omitempty"`   // only for this method, when set
	Path     string `json:"path,omitempty"`     // only for paths that begin so, when set
	Contains string `json:"contains,omitempty"` // only for bodies that have this text, when set
}

func (b Behaviour) check() error {
	switch {
	case !slices.Contains(modes, b.Mode):
		return fmt.Errorf("no such behaviour; there are %q", modes)
	case b.Mode == Redirect && b.Location == "":
		return errors.New("redirect needs a location")
	case b.Status != 0 && (b.Status < 200 || b.Status > 599), b.Times < 0:
		return errors.New("the status or the number of times makes no sense")
	}
	return nil
}

// behave changes the behaviour from the next request on.
func (c *core) behave(b Behaviour) error {
	if err := b.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behaviour = b
	return nil
}

// behaviourFor is what r meets, and uses up one of its times.
func (c *core) behaviourFor(r *http.Request) Behaviour {
	c.mu.Lock()
	b := c.behaviour
	c.mu.Unlock()
	if b.Contains != "" && !contains(r, b.Contains) {
		return Behaviour{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b = c.behaviour
	if (b.Method != "" && b.Method != r.Method) || !strings.HasPrefix(r.URL.Path, b.Path) {
		return Behaviour{}
	}
	if b.Times == 1 {
		c.behaviour = Behaviour{}
	} else if b.Times > 1 {
		c.behaviour.Times--
	}
	return b
}

// contains reads the body, and leaves it to be read again.
func contains(r *http.Request, text string) bool {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return err == nil && bytes.Contains(body, []byte(text))
}

// misbehave serves one authenticated request under b.
func (c *core) misbehave(b Behaviour, next http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	switch b.Mode {
	case FailMode:
		Fail(w, orStatus(b.Status, http.StatusInternalServerError), "something went wrong on our side")
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(orStatus(b.Status, http.StatusOK))
		_, _ = w.Write([]byte("<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>\n"))
	case Huge:
		huge(w)
	case Redirect:
		w.Header().Set("Location", b.Location)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case Hang:
		if c.hold(w, r) {
			next(w, r)
		}
	case SlowCommit:
		done := record(next, r)
		if c.hold(w, r) {
			done.send(w)
		}
	case Drop:
		record(next, r)
		panic(http.ErrAbortHandler) // net/http cuts the connection and logs nothing
	case EchoError:
		echoError(w, r)
	case Normal, Echo: // echo is around authentication, see core.route
		next(w, r)
	}
}

func orStatus(status, otherwise int) int {
	if status != 0 {
		return status
	}
	return otherwise
}

// huge sends 30 MB that are one JSON object, a chunk at a time.
func huge(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	_, err := w.Write([]byte(`{"padding":"`))
	for i := 0; i < 30 && err == nil; i++ {
		_, err = w.Write(chunk)
	}
	if err == nil {
		_, _ = w.Write([]byte(`"}`))
	}
}

// hold keeps the request until a release (true), or until its client or the
// system goes (false). The server's time limit for reading a request would end
// it too, so it is lifted.
func (c *core) hold(w http.ResponseWriter, r *http.Request) bool {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a writer that has none ends sooner
	c.mu.Lock()
	release := c.release
	c.held++
	c.changed()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.held--
		c.changed()
		c.mu.Unlock()
	}()
	select {
	case <-release:
		return true
	case <-r.Context().Done():
		return false
	}
}

// recorded is an answer that was given but not sent.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func record(h http.HandlerFunc, r *http.Request) *recorded {
	rec := &recorded{header: http.Header{}}
	h(rec, r)
	return rec
}

// Header, Write and WriteHeader make it an [http.ResponseWriter].
func (rec *recorded) Header() http.Header { return rec.header }

func (rec *recorded) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
}

func (rec *recorded) Write(b []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	return rec.body.Write(b)
}

func (rec *recorded) send(w http.ResponseWriter) {
	for k, v := range rec.header {
		w.Header()[k] = v
	}
	w.WriteHeader(orStatus(rec.status, http.StatusOK))
	_, _ = w.Write(rec.body.Bytes())
}
