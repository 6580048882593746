package issuer_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/issuer"
	"sallyport.dev/internal/resource"
)

// office is an issuer on this machine.
type office struct {
	*httptest.Server
	asked     atomic.Int32 // documents that were given
	keysAsked atomic.Int32
	mu        sync.Mutex
	name      string // what its document calls it; empty: what it is
	keysAt    string
	keys      json.RawMessage
	down      bool
	rfc8414   bool // it knows nothing of OpenID Connect
}

func newOffice(t *testing.T) *office {
	o := &office{keys: keys()}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	return o
}

func (o *office) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *office) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name, keysAt := o.name, o.keysAt
	if name == "" {
		name = o.URL + "/realm"
	}
	if keysAt == "" {
		keysAt = o.URL + "/keys"
	}
	switch {
	case o.down:
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path == "/keys":
		o.keysAsked.Add(1)
		_, _ = w.Write(o.keys)
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/keys", http.StatusFound)
	case r.URL.Path == "/huge":
		_, _ = w.Write([]byte(`{"keys":[],"x":"` + strings.Repeat("x", 300<<10) + `"}`))
	case r.URL.Path == "/realm/.well-known/openid-configuration" && !o.rfc8414, r.URL.Path == "/.well-known/oauth-authorization-server/realm":
		o.asked.Add(1)
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, name, keysAt)
	default:
		http.NotFound(w, r)
	}
}

// desk verifies tokens of an office; its clock can be moved.
type desk struct {
	*issuer.Verifier
	at time.Time
	mu sync.Mutex
	o  *office
}

func newDesk(o *office) *desk {
	d := &desk{at: now, o: o}
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	d.Verifier = issuer.New(dial.Options{RootCAs: roots}, func() time.Time {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.at
	})
	return d
}

func (d *desk) later(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
}

func (d *desk) try(t *testing.T, kid string, change func(*resource.WorkerJWT)) error {
	t.Helper()
	c, h := claims(), header()
	d.mu.Lock()
	c["iss"], c["iat"], c["exp"], h["kid"] = d.o.URL+"/realm", d.at.Unix(), d.at.Unix()+60, kid
	d.mu.Unlock()
	w := worker("night", func(j *resource.WorkerJWT) {
		j.Issuer, j.JWKS, j.Network = d.o.URL+"/realm", nil, resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}
		if change != nil {
			change(j)
		}
	})
	_, err := d.Verify(t.Context(), signed(h, c), []*resource.Worker{w}, home)
	return err
}

func TestAnIssuerIsAskedOnceForItsKeys(t *testing.T) {
	for _, old := range []bool{false, true} {
		o := newOffice(t)
		o.rfc8414 = old
		d := newDesk(o)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := d.try(t, "r1", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if o.asked.Load() != 1 || o.keysAsked.Load() != 1 {
			t.Errorf("asked %d and %d times for 50 tokens", o.asked.Load(), o.keysAsked.Load())
		}
		d.later(11 * time.Minute)
		if err := d.try(t, "r1", nil); err != nil || o.keysAsked.Load() != 2 {
			t.Errorf("keys that are old: %v, asked %d times", err, o.keysAsked.Load())
		}
	}
}

// Strangers choose the kid: a flood of names must not become a flood of requests.
func TestUnknownNamesAskTheIssuerSeldom(t *testing.T) {
	o := newOffice(t)
	d := newDesk(o)
	if err := d.try(t, "r1", nil); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		if err := d.try(t, fmt.Sprint("x", n), nil); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	if n := o.keysAsked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	d.later(31 * time.Second)
	o.set(func() { o.keys = jwks(map[string]any{"r9": &rsaKey.PublicKey}) })
	for range 20 {
		if err := d.try(t, "r9", nil); err != nil {
			t.Fatalf("a new key is found after half a minute: %v", err)
		}
	}
	if err := d.try(t, "r1", nil); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the key that the issuer has taken back: %v", err)
	}
	if n := o.keysAsked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestKeysOutliveAnIssuerThatIsDownForAnHour(t *testing.T) {
	o := newOffice(t)
	d := newDesk(o)
	if err := d.try(t, "r1", nil); err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.down = true })
	d.later(30 * time.Minute)
	if err := d.try(t, "r1", nil); err != nil {
		t.Errorf("half an hour: %v", err)
	}
	d.later(31 * time.Minute)
	if err := d.try(t, "r1", nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("an hour: %v", err)
	}
	o.set(func() { o.down = false })
	d.later(31 * time.Second)
	if err := d.try(t, "r1", nil); err != nil {
		t.Errorf("back: %v", err)
	}
}

func TestWhatAnIssuerCantMakeUsBelieve(t *testing.T) {
	for name, change := range map[string]func(*office){
		"it calls itself another":           func(o *office) { o.name = "https://login.example.com" },
		"its keys are elsewhere":            func(o *office) { o.keysAt = o.URL + "/moved" },
		"its keys come in clear":            func(o *office) { o.keysAt = "http://login.example.com/keys" },
		"its keys are a metadata service's": func(o *office) { o.keysAt = "https://169.254.169.254/keys" },
		"its keys are a file":               func(o *office) { o.keysAt = "file:///etc/passwd" },
		"its keys are huge":                 func(o *office) { o.keysAt = o.URL + "/huge" },
		"its keys are a page":               func(o *office) { o.keys = json.RawMessage(`<html>`) },
		"it is down":                        func(o *office) { o.down = true },
	} {
		o := newOffice(t)
		change(o)
		if err := newDesk(o).try(t, "r1", nil); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The dial rules are those of every system: an address that the Worker does not name
// is not connected to.
func TestAnIssuerOnAPrivateAddressHasToBeNamed(t *testing.T) {
	o := newOffice(t)
	if err := newDesk(o).try(t, "r1", func(j *resource.WorkerJWT) { j.Network = resource.Network{} }); !fault.Is(err, fault.Unavailable) || o.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, o.asked.Load())
	}
}
