package kek_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// hostile is a seal whose server is the handler.
func hostile(t *testing.T, h http.HandlerFunc) *kek.Transit {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644)
	write(t, filepath.Join(dir, "token"), []byte("s.canary-token"), 0o600)
	k, err := kek.NewTransit(kek.TransitConfig{Address: s.URL, Key: "sallyport", CAFile: filepath.Join(dir, "ca.pem"), TokenFile: filepath.Join(dir, "token")})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stored is a box that a hostile server is asked about.
var stored = kek.Sealed{Kind: kek.KindTransit, ID: "transit/sallyport", Box: []byte("vault:v1:" + strings.Repeat("A", 80))}

func TestARedirectDoesNotTakeTheTokenAlong(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		k := hostile(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := k.Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("wrapping, %d: %v", status, err)
		}
		if _, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
			t.Errorf("unwrapping, %d: %v", status, err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

func TestAnAnswerThatDoesNotFitIsRefused(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct {
		body string
		kind fault.Kind
	}{
		"longer than a MiB":       {`{"data":{"plaintext":"` + strings.Repeat("A", 1<<20) + `"}}`, fault.Unavailable},
		"no JSON":                 {"<html>", fault.Invalid},
		"nothing":                 {"", fault.Invalid},
		"no plaintext":            {`{"data":{}}`, fault.Invalid},
		"an empty plaintext":      {`{"data":{"plaintext":""}}`, fault.Invalid},
		"a shorter plaintext":     {`{"data":{"plaintext":"` + b64(make([]byte, 31)) + `"}}`, fault.Invalid},
		"a longer plaintext":      {`{"data":{"plaintext":"` + b64(make([]byte, 33)) + `"}}`, fault.Invalid},
		"no base64":               {`{"data":{"plaintext":"%%%"}}`, fault.Invalid},
		"a list where text is":    {`{"data":{"plaintext":["a"]}}`, fault.Invalid},
		"something after the end": {`{"data":{"plaintext":"` + b64(make([]byte, 32)) + `"}}{}`, fault.Invalid},
	} {
		k := hostile(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, c.body) })
		if v, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, c.kind) || len(plain.Bytes(v)) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, box := range []string{"", "vault:v0:" + strings.Repeat("A", 80), "vault:1:" + strings.Repeat("A", 80), "vault:v1:" + strings.Repeat("A", 10),
		"vault:v1:" + strings.Repeat("A", 5000), "bao:v1:" + strings.Repeat("A", 80), `vault:v1:` + strings.Repeat("A", 80) + `","x":"`} {
		k := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ciphertext": box}})
		})
		if _, err := k.Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) {
			t.Errorf("a ciphertext %.20q: %v", box, err)
		}
		// One that somebody put into the database never reaches the server.
		bad := stored
		bad.Box = []byte(box)
		asked := hostile(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
		if _, err := asked.Unwrap(t.Context(), aad, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("a stored ciphertext %.20q: %v", box, err)
		}
	}
}

func TestAnAnswerThatWasCutIsNotTaken(t *testing.T) {
	whole := `{"data":{"plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"}}`
	for _, head := range []string{"Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(whole), whole), "Content-Length: 1000\r\n\r\n" + whole} {
		k := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head)
		})
		if v, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) || len(plain.Bytes(v)) > 0 {
			t.Errorf("%v", err)
		}
	}
}

func TestASlowServerIsNotWaitedForLong(t *testing.T) {
	kek.Impatient(t, 50*time.Millisecond)
	for name, begin := range map[string]string{"no answer": "", "an answer that does not end": `{"data":`} {
		k := hostile(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client has gone after that
			if begin != "" {
				_, _ = fmt.Fprint(w, begin)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		})
		if _, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hostile(t, func(http.ResponseWriter, *http.Request) {}).Unwrap(ctx, aad, stored); !fault.Is(err, fault.Unavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAServerThatIgnoresAssociatedDataIsRefused(t *testing.T) {
	f, s := startFake(t)
	f.forgets = true
	if _, err := newBao(t, s).seal("sallyport").Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "associated data") {
		t.Errorf("%v", err)
	}
}

func TestErrorsRepeatNothingThatTheServerWrote(t *testing.T) {
	// What was sealed and the token, in the ways that a server could say them.
	secrets := []string{"s.canary-token", string(plain.Bytes(root())), base64.StdEncoding.EncodeToString(plain.Bytes(root())), "canary-words"}
	for _, status := range []int{200, 400, 401, 403, 404, 405, 412, 429, 500, 502, 503} {
		for _, words := range secrets {
			k := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{words}})
			})
			_, werr := k.Wrap(t.Context(), aad, root())
			_, uerr := k.Unwrap(t.Context(), aad, stored)
			for _, err := range []error{werr, uerr} {
				text := fmt.Sprintf("%v %+v %#v %s", err, err, err, fault.HintOf(err))
				for _, secret := range secrets {
					if err == nil || strings.Contains(text, secret) {
						t.Errorf("status %d: %s", status, text)
					}
				}
			}
		}
	}
}

func TestAServerThatCantAnswerNowIsUnavailable(t *testing.T) {
	f, s := startFake(t)
	b := newBao(t, s)
	k := b.seal("sallyport")
	sealed := b.wrap(k)
	f.mu.Lock()
	f.sealed = true
	f.mu.Unlock()
	if _, err := k.Unwrap(t.Context(), aad, sealed); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "is sealed itself") {
		t.Errorf("sealed: %v", err)
	}
	f.mu.Lock()
	f.sealed = false
	f.mu.Unlock()
	b.opens(k, sealed)
	for _, status := range []int{429, 500, 502, 503} {
		h := hostile(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, err := h.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	c := b.config("sallyport")
	c.Address, c.TokenFile = gone.URL, b.file("s.x")
	gone.Close()
	if _, err := b.with(c).Unwrap(t.Context(), aad, sealed); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestACertificateOfSomebodyElseGetsNoToken(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }))
	defer s.Close()
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, []byte("s.canary-token"), 0o600)
	k, err := kek.NewTransit(kek.TransitConfig{Address: s.URL, Mount: "transit", Key: "sallyport", TokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.HintOf(err), "caFile") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}

func TestPlainHTTPGoesNowhereButHere(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://192.0.2.1:8200/", nil) // what "localhost" could be made to mean
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kek.PlainClient(t).Do(r); err == nil || !strings.Contains(err.Error(), "plain HTTP to another machine") {
		t.Errorf("%v", err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, nil); err != nil {
		t.Fatal(err)
	}
	res, err := kek.PlainClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

func TestTheTransitConfigurationIsStrict(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "transit.json")
	good := `{"address":"https://bao.example.com:8200","key":"sallyport","tokenFile":"/run/token"}`
	for content, want := range map[string]string{
		good: "",
		`{"address":"http://127.0.0.1:8200","key":"k","tokenFile":"/t"}`:                                                          "",
		`{"address":"http://[::1]:8200","key":"k","tokenFile":"/t"}`:                                                              "",
		`{"address":"http://localhost:8200/","key":"k","tokenFile":"/t"}`:                                                         "",
		`{"address":"https://h","mount":"kms/transit","key":"k","namespace":"a/b/","appRole":{"roleId":"r","secretIdFile":"/s"}}`: "",
		`{"address":"http://10.0.0.1:8200","key":"k","tokenFile":"/t"}`:                                                           "plain HTTP",
		`{"address":"http://localhost.evil.example","key":"k","tokenFile":"/t"}`:                                                  "plain HTTP",
		`{"address":"https://user:canary@h","key":"k","tokenFile":"/t"}`:                                                          "host and a port alone",
		`{"address":"https://h/v1","key":"k","tokenFile":"/t"}`:                                                                   "host and a port alone",
		`{"address":"https://h?x","key":"k","tokenFile":"/t"}`:                                                                    "host and a port alone",
		`{"address":"unix:///run/bao","key":"k","tokenFile":"/t"}`:                                                                "host and a port alone",
		`{"address":"ftp://h","key":"k","tokenFile":"/t"}`:                                                                        "neither https",
		`{"key":"k","tokenFile":"/t"}`:                                                                                            "host and a port alone",
		`{"address":"https://h","key":"../sys/raw","tokenFile":"/t"}`:                                                             "name of one",
		`{"address":"https://h","key":"k?x","tokenFile":"/t"}`:                                                                    "name of one",
		`{"address":"https://h","mount":"a/../b","key":"k","tokenFile":"/t"}`:                                                     "mount",
		`{"address":"https://h","namespace":"a\r\nX-Y: z","key":"k","tokenFile":"/t"}`:                                            "namespace",
		`{"address":"https://h","key":"k"}`:                                                                                       "sign-in",
		`{"address":"https://h","key":"k","tokenFile":"/t","appRole":{"roleId":"r","secretIdFile":"/s"}}`:                         "sign-in",
		`{"address":"https://h","key":"k","appRole":{"roleId":"r\"","secretIdFile":"/s"}}`:                                        "roleId",
		`{"address":"https://h","key":"k","appRole":{"roleId":"r"}}`:                                                              "secretIdFile",
		`{"address":"https://h","key":"k","tokenFile":"/t","token":"s.canary"}`:                                                   "not known",
		`{"address":"https://h","key":"k","tokenFile":"/t","Address":"https://evil"}`:                                             "twice",
		`{"address":"https://h","key":"k","appRole":{"roleId":"r","roleId":"s","secretIdFile":"/s"}}`:                             "twice",
		good + `{}`: "follows",
		`[]`:        "JSON object",
		``:          "JSON object",
	} {
		write(t, path, []byte(content), 0o600)
		c, err := kek.ReadTransitConfig(path)
		if err == nil {
			_, err = kek.NewTransit(c)
		}
		if want == "" && err != nil || want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
	write(t, path, []byte(good), 0o666)
	if _, err := kek.ReadTransitConfig(path); !fault.Is(err, fault.Denied) {
		t.Errorf("a file that everybody can change: %v", err)
	}
	if _, err := kek.ReadTransitConfig(dir); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a directory: %v", err)
	}
}

func TestATokenThatOthersCanUseIsNotUsed(t *testing.T) {
	_, s := startFake(t)
	b := newBao(t, s)
	for name, c := range map[string]struct {
		mode    os.FileMode
		content string
		kind    fault.Kind
	}{
		"readable by all":       {0o604, "s.x", fault.Denied},
		"writable by the group": {0o620, "s.x", fault.Denied},
		"empty":                 {0o600, "\n", fault.Invalid},
		"two lines":             {0o600, "s.x\nX-Other: y", fault.Invalid},
		"too long":              {0o600, strings.Repeat("x", 9000), fault.Limit},
	} {
		cfg := b.config("sallyport")
		cfg.TokenFile = filepath.Join(t.TempDir(), "token")
		write(t, cfg.TokenFile, []byte(c.content), c.mode)
		if _, err := b.with(cfg).Wrap(t.Context(), aad, root()); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
