package sieve_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sieve"
)

var mesh = sieve.Mesh{Members: []string{"id", "about"}, Values: []string{"value", "other"}, Error: "type", Headers: []string{"Content-Type"}}

// ask sends a request as an SDK does, and gives what the SDK then has.
func ask(t *testing.T, c *sieve.Client, url string) (*sieve.Catch, http.Header, string, error) {
	t.Helper()
	ctx, catch := sieve.Into(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("asked"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		return catch, nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return catch, res.Header, string(b), nil
}

func start(t *testing.T, m sieve.Mesh, h http.HandlerFunc) (*sieve.Client, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	return sieve.New(c, "the service", s.URL, m), s.URL
}

func TestOnlyWhatIsNamedPasses(t *testing.T) {
	for name, a := range map[string]struct {
		status       int
		body, passes string
		value        string
	}{
		"a value":                     {200, `{"value":"cnry \"one\"","id":"x","more":"cnry","about":{"a":1,"b":["c"]}}`, `{"id":"x","about":{"a":1,"b":["c"]}}`, `cnry "one"`},
		"a value by an escaped name":  {200, `{"val\u0075e":"cnry","id":"x"}`, `{"id":"x"}`, "cnry"},
		"names in capitals":           {200, `{"Value":"cnry","ID":"cnry","id":"x","About":{"a":"cnry"}}`, `{"id":"x"}`, ""},
		"a value that is no text":     {200, `{"value":["cnry"],"id":7}`, `{"id":7}`, ""},
		"an error":                    {400, `{"type":"a.b#NotFound","message":"cnry"}`, `{"type":"a.b#NotFound"}`, ""},
		"an error with a long name":   {400, `{"type":"cnry is not found"}`, `{}`, ""},
		"an error in two ways":        {400, `{"type":"A","type":"B"}`, `{}`, ""},
		"an error that is a page":     {503, `<html>cnry`, `{}`, ""},
		"a value in an error's place": {404, `{"value":"cnry"}`, `{}`, ""},
	} {
		c, url := start(t, mesh, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Said", "cnry")
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(a.status)
			_, _ = w.Write([]byte(a.body))
		})
		catch, h, got, err := ask(t, c, url+"/")
		value, _ := catch.Take("value")
		if err != nil || got != a.passes || string(value) != a.value || catch.Status != a.status || !maps.EqualFunc(h, http.Header{"Content-Type": {"a/b"}}, func(x, y []string) bool { return x[0] == y[0] }) {
			t.Errorf("%s: %q, %v, the value %q, %v", name, got, h, value, err)
		}
		if _, twice := catch.Take("value"); twice {
			t.Errorf("%s: the value was given twice", name)
		}
	}
}

func TestWhatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for _, whole := range []bool{false, true} {
		for _, body := range []string{`{"value":"cnry","value":"b"}`, `{"id":1,"id":2}`, `{"about":{"a":1,"a":2}}`, `{"id":"cnry"`, `["cnry"]`} {
			m := mesh
			m.Whole = whole
			c, url := start(t, m, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
			_, _, got, err := ask(t, c, url+"/")
			if whole && (strings.HasPrefix(body, `{"about`) || body[0] == '[') {
				continue // its top alone is looked at
			}
			if backend.ReasonOf(err) != backend.Wrong || strings.Contains(err.Error(), "cnry") {
				t.Errorf("%s (whole %t): %q, %v", body, whole, got, err)
			}
		}
	}
}

func TestASignInThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	m := mesh
	m.Whole = true
	for body, ok := range map[string]bool{`{"access_token":"a","Access_Token":"b"}`: false, `{"access_token":"a","acce\u017fs_token":"b"}`: false, `{"access_token":"a","expires_in":1}`: true, "a-role": true} {
		c, url := start(t, m, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		if _, _, got, err := ask(t, c, url+"/"); (err == nil) != ok || ok && got != body {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

func TestNothingIsSentToAnotherServer(t *testing.T) {
	asked := 0
	h := func(http.ResponseWriter, *http.Request) { asked++ }
	c, url := start(t, mesh, h)
	_, other := start(t, mesh, h)
	host := strings.TrimPrefix(url, "http://")
	for _, at := range []string{other + "/", "http://user:password@" + host + "/", "https://" + host + "/", "http://example.com/", url + "0/"} {
		if catch, _, _, err := ask(t, c, at); backend.ReasonOf(err) != backend.Wrong || catch.Err() == nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	ctx, _ := sieve.Into(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "another.example.com"
	if _, err := c.Do(r); err == nil {
		t.Error("a request for another host was sent")
	}
	if r, err = http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(r); err == nil {
		t.Error("a request that nobody waits for was sent")
	}
	if asked > 0 {
		t.Errorf("%d were sent", asked)
	}
}

func TestACheckComesBeforeAnythingPasses(t *testing.T) {
	m := mesh
	m.Check = func(a rest.Answer) error {
		if bytes.Contains(a.Body, []byte("x")) {
			return backend.Fail(backend.Refused, "no")
		}
		return nil
	}
	c, url := start(t, m, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"value":"cnry","id":"x"}`)) })
	catch, _, got, err := ask(t, c, url+"/")
	if _, caught := catch.Take("value"); backend.ReasonOf(err) != backend.Refused || caught || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnAnswerReplacesTheOneBefore(t *testing.T) {
	n := 0
	c, url := start(t, mesh, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			_, _ = w.Write([]byte(`{"value":"cnry-one"}`))
			return
		}
		w.WriteHeader(401)
	})
	ctx, catch := sieve.Into(t.Context())
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if b, ok := catch.Take("value"); ok || catch.Status != 401 {
		t.Errorf("after a refusal it still has %q", b)
	}
}

// answer is the same for every request.
type answer []byte

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

// FuzzAnAnswer: what is caught never passes, and what passes is JSON that was there.
func FuzzAnAnswer(f *testing.F) {
	f.Add([]byte(`{"value":"a value of some length","id":"x","about":{"value":"a value of some length"}}`))
	f.Add([]byte(`{"v\u0061lue":"a value of some length","\u0069d":{}}`))
	f.Add([]byte(` {"value" : "\ud83d\ude00 is a value" , "about":[1,{"a":2,"a":3}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := mesh
		m.Members = []string{"id"}
		c := sieve.New(&http.Client{Transport: answer(raw)}, "the service", "https://service.example.com", m)
		before := bytes.Clone(raw)
		catch, _, got, err := ask(t, c, "https://service.example.com/")
		if err != nil {
			if backend.ReasonOf(err) == "" || strings.Contains(err.Error(), string(raw)) && len(raw) > 20 {
				t.Errorf("%v", err)
			}
			return
		}
		inner, ok := strings.CutPrefix(strings.TrimSuffix(got, "}"), `{"id":`)
		if got != "{}" && (!ok || !bytes.Contains(before, []byte(inner))) {
			t.Errorf("of %q passes %q", before, got)
		}
		catch.Wipe()
	})
}
