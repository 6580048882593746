package cli_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport.dev/internal/intake"
)

// wire NAME FILE [swap]: stands between the commands and a server, at $WIRE_URL,
// and writes every body that passes to the file. With swap it hands out an intake
// key of its own.
func wire(ts *testscript.TestScript, _ bool, args []string) {
	to, err := url.Parse(ts.Getenv(args[0] + "_URL"))
	ts.Check(err)
	log, err := os.OpenFile(ts.MkAbs(args[1]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	record := func(b io.ReadCloser) (io.ReadCloser, []byte, error) {
		all, err := io.ReadAll(b)
		if err == nil {
			_, err = log.Write(append(all, '\n'))
		}
		return io.NopCloser(bytes.NewReader(all)), all, err
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) (err error) {
		var body []byte
		if r.Body, body, err = record(r.Body); err != nil || len(args) < 3 || r.Request.URL.Path != "/v1/intake-key" {
			return err
		}
		body, err = swapped(body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return err
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body, _, err = record(r.Body); err != nil {
			http.Error(w, "it can't be recorded", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	ts.Defer(func() {
		s.Close()
		_ = log.Close()
	})
	ts.Setenv("WIRE_URL", s.URL)
}

// swapped is an answer with another key that fits its id.
func swapped(answer []byte) ([]byte, error) {
	var k intake.Key
	if err := json.Unmarshal(answer, &k); err != nil {
		return nil, err
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	public := own.PublicKey().Bytes()
	k.ID, k.PublicKey = intake.ID(public), base64.StdEncoding.EncodeToString(public)
	return json.Marshal(k)
}
