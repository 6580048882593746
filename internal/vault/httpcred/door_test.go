package httpcred_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// leaks fails when something holds a secret, in any encoding.
func leaks(t *testing.T, where, what string) {
	t.Helper()
	if names := known(t).Contains([]byte(what)); len(names) > 0 {
		t.Errorf("%s: %v came through:\n%.600s", where, names, what)
	}
}

// arrived says whether a request carries the credential of a scheme.
func arrived(name string, r *http.Request) bool {
	user, pass, _ := r.BasicAuth()
	switch name {
	case "bearer":
		return r.Header.Get("Authorization") == "Bearer "+token
	case "basic":
		return user == "bob" && pass == password
	case "header":
		return r.Header.Get("X-Api-Key") == token
	}
	return r.URL.Query().Get("api_key") == token
}

// echo answers with all that it received, in everything that an answer has.
func echo(w http.ResponseWriter, r *http.Request) {
	user, pass, _ := r.BasicAuth()
	got := []string{r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.URL.String(), r.URL.RawQuery, r.URL.Query().Get("api_key"), user, pass, foreign}
	all := strings.Join(got, " ")
	w.Header().Set("Trailer", "X-Sum")
	w.Header().Set("X-Echo", all)
	w.Header().Set("X-Echo-Hex", hex.EncodeToString([]byte(all)))
	w.Header().Set("Location", "http://elsewhere.example/?"+url.QueryEscape(all))
	w.Header().Set("Set-Cookie", "session="+all)
	w.Header().Set("Www-Authenticate", `Bearer realm="`+all+`"`)
	w.Header().Set("Authentication-Info", all)
	w.Header().Set("Refresh", "1; url=/"+all)
	w.Header().Set("Alt-Svc", `h2="evil.example:443"`)
	w.Header()["X-"+hex.EncodeToString([]byte(foreign))] = []string{"in the name"}
	w.WriteHeader(http.StatusFound)
	j, _ := json.Marshal(map[string]any{"got": got, "headers": r.Header})
	for _, part := range []string{all, string(j), base64.StdEncoding.EncodeToString([]byte(all)), url.PathEscape(all), hex.EncodeToString([]byte(all)), all} {
		for len(part) > 0 { // in small pieces, so that secrets are split
			n := min(7, len(part))
			_, _ = io.WriteString(w, part[:n])
			w.(http.Flusher).Flush()
			part = part[n:]
		}
		_, _ = io.WriteString(w, "\n")
	}
	w.Header().Set("X-Sum", all)
}

func TestASystemThatEchoesEverythingLeaksNothing(t *testing.T) {
	for name, auth := range schemes {
		t.Run(name, func(t *testing.T) {
			var got atomic.Bool
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				got.Store(arrived(name, r))
				echo(w, r)
			})
			req := request(t, "POST", s.URL+"/vendors?page=2", "{}")
			resp, err := openFor(t, "POST", auth, s.URL, s.Client().Transport).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Load() {
				t.Error("the system did not get its credential")
			}
			out := everything(resp, nil)
			leaks(t, name, out)
			if !strings.Contains(out, "[secret:crm]") || resp.Trailer.Get("X-Sum") == "" {
				t.Errorf("the answer was lost, not scrubbed: %.300s", out)
			}
			for _, h := range []string{"Set-Cookie", "Www-Authenticate", "Authentication-Info", "Refresh", "Alt-Svc"} {
				if resp.Header.Get(h) != "" {
					t.Errorf("%s was passed on", h)
				}
			}
			if req.URL.RawQuery != "page=2" || len(req.Header) != 0 || resp.Request != req {
				t.Error("the caller's request was changed, or is not the answer's")
			}
		})
	}
}

// Answers that only a raw connection can give.
func TestWhatComesInRawLeaksNothing(t *testing.T) {
	for name, answer := range map[string]string{
		"status text":       "HTTP/1.1 200 OK $AUTH $KEY\r\nContent-Length: 2\r\n\r\nok",
		"a long status":     "HTTP/1.1 200 " + strings.Repeat("x", 60) + " $AUTH $KEY\r\nContent-Length: 0\r\n\r\n",
		"1xx":               "HTTP/1.1 103 $AUTH\r\nLink: $AUTH $KEY $URL\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"101":               "HTTP/1.1 101 $AUTH\r\nConnection: Upgrade\r\nUpgrade: $KEY\r\n\r\n$AUTH",
		"garbage":           "$AUTH $KEY $URL\r\n\r\n",
		"a bad header":      "HTTP/1.1 200 OK\r\n$AUTH $KEY $URL\r\n\r\n",
		"a bad length":      "HTTP/1.1 200 OK\r\nContent-Length: $AUTH$KEY\r\n\r\n",
		"a bad chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n$AUTH$KEY\r\n",
		"cut":               "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n$AUTH $KEY",
		"unknown encoding":  "HTTP/1.1 200 OK\r\nContent-Encoding: $KEY\r\nContent-Length: 2\r\n\r\nok",
		"redirect to query": "HTTP/1.1 307 x\r\nLocation: $URL\r\nContent-Length: 0\r\n\r\n",
		"nothing":           "",
	} {
		for scheme, auth := range schemes {
			base := script(t, answer)
			seen := ""
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse:   func(c int, h textproto.MIMEHeader) error { seen += fmt.Sprint(c, h); return nil },
				WroteHeaderField: func(k string, v []string) { seen += fmt.Sprint(k, v) },
				WroteRequest:     func(i httptrace.WroteRequestInfo) { seen += fmt.Sprint("wrote", i.Err) },
			})
			tr := &http.Transport{}
			resp, err := open(t, auth, base, tr).RoundTrip(request(t, "GET", base+"/x", "").WithContext(ctx))
			out := everything(resp, err)
			leaks(t, name+" with "+scheme, out+seen)
			if !strings.Contains(seen, "wrote") {
				t.Errorf("%s: a connector can't know that the request was sent", name)
			}
			if _, ok := errors.AsType[*url.Error](err); ok {
				t.Errorf("%s: a url.Error", name)
			}
			if err != nil && fault.KindOf(err) == fault.Internal {
				t.Errorf("%s: an error without a kind: %v", name, err)
			}
			tr.CloseIdleConnections()
		}
	}
}

func TestACompressedAnswerIsOpenedAndScrubbed(t *testing.T) {
	for _, c := range []struct {
		encoding string
		writer   func(io.Writer) io.WriteCloser
	}{
		{"gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
		{"deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }},
		{"Deflate", func(w io.Writer) io.WriteCloser { // bare, as some systems send it
			z, _ := flate.NewWriter(w, flate.BestSpeed)
			return z
		}},
	} {
		encoding, writer := c.encoding, c.writer
		s := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("asked for %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", encoding)
			z := writer(w)
			fmt.Fprintf(z, "you sent %s, and %s", r.Header.Get("Authorization"), foreign)
			_ = z.Close()
		})
		req := request(t, "GET", s.URL, "")
		req.Header.Set("Accept-Encoding", "br")
		resp, err := open(t, schemes["bearer"], s.URL, s.Client().Transport).RoundTrip(req)
		out := everything(resp, err)
		leaks(t, encoding, out)
		if !strings.Contains(out, "you sent Bearer [secret:erp]") || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %.300s", encoding, out)
		}
	}
}

func TestAnEncodingThatScrubbingCannotOpenFailsClosed(t *testing.T) {
	bomb := &bytes.Buffer{}
	z := gzip.NewWriter(bomb)
	for range 8 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	for name, c := range map[string]struct {
		encoding string
		body     []byte
		kind     fault.Kind
	}{
		"br":          {"br", []byte(foreign), fault.Invalid},
		"two":         {"gzip, gzip", []byte(foreign), fault.Invalid},
		"not gzip":    {"gzip", []byte(foreign + foreign), fault.Invalid},
		"not deflate": {"deflate", []byte("\xff\xff" + foreign), fault.Invalid},
		"a bomb":      {"gzip", bomb.Bytes(), fault.Limit},
	} {
		s := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", c.encoding)
			_, _ = w.Write(c.body)
		})
		resp, err := open(t, schemes["bearer"], s.URL, s.Client().Transport).RoundTrip(request(t, "GET", s.URL, ""))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
}

func TestTheCredentialGoesToItsOriginOnly(t *testing.T) {
	sent := false
	door := open(t, schemes["bearer"], "https://erp.example", roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = true
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}))
	good := func() *http.Request { return request(t, "GET", "https://erp.example/x", "") }
	for name, change := range map[string]func(*http.Request){
		"another host":        func(r *http.Request) { r.URL.Host = "evil.example" },
		"a look-alike":        func(r *http.Request) { r.URL.Host = "erp.example.evil.example" },
		"a dotless suffix":    func(r *http.Request) { r.URL.Host = "xerp.example" },
		"another port":        func(r *http.Request) { r.URL.Host = "erp.example:8443" },
		"plain HTTP":          func(r *http.Request) { r.URL.Scheme = "http" },
		"HTTP to 443":         func(r *http.Request) { r.URL.Scheme, r.URL.Host = "http", "erp.example:443" },
		"another Host header": func(r *http.Request) { r.Host = "evil.example" },
		"a login in the URL":  func(r *http.Request) { r.URL.User = url.User("evil.example") },
		"an opaque URL":       func(r *http.Request) { r.URL.Opaque = "//evil.example/x" },
		"CONNECT":             func(r *http.Request) { r.Method = http.MethodConnect },
		"no URL":              func(r *http.Request) { r.URL = nil },
		"a packed body":       func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
	} {
		req := good()
		change(req)
		_, err := door.RoundTrip(req)
		if k := fault.KindOf(err); sent || k != fault.Denied && k != fault.Invalid {
			t.Fatalf("%s: %v, sent %v", name, err, sent)
		}
	}
	for _, host := range []string{"erp.example", "ERP.example:443"} {
		req := good()
		req.URL.Host, req.Host = host, host
		if _, err := door.RoundTrip(req); err != nil || !sent {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestADoorIsForOneMethod(t *testing.T) {
	sent := 0
	count := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})
	for _, method := range []string{"POST", "DELETE", "get", "HEAD", "OPTIONS", "GET "} {
		req := request(t, "GET", "https://erp.example/x", "")
		req.Method = method
		if _, err := open(t, schemes["bearer"], "https://erp.example", count).RoundTrip(req); !fault.Is(err, fault.Denied) || sent != 0 {
			t.Errorf("%q through a door for GET: %v, sent %d", method, err, sent)
		}
	}
	for door, method := range map[string]string{"GET": "", "POST": "POST"} {
		req := request(t, "GET", "https://erp.example/x", "")
		req.Method = method
		if _, err := openFor(t, door, schemes["bearer"], "https://erp.example", count).RoundTrip(req); err != nil {
			t.Errorf("%q through a door for %s: %v", method, door, err)
		}
	}
	set := known(t)
	if _, err := httpcred.New(httpcred.Config{Auth: schemes["bearer"], Fields: map[string]plain.Value{"token": plain.New([]byte(token))},
		Origin: resource.Origin{Scheme: "https", Host: "a:443"}, Base: count, Known: set, Latest: func() *scrub.Set { return set }}); err == nil {
		t.Error("a door was made for no method")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestARequestThatCarriesASecretIsRefusedBeforeItIsSent(t *testing.T) {
	base := "https://erp.example"
	never := roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, errors.New("sent")
	})
	parts := map[string]string{"path": "URL", "query": "URL", "fragment": "URL", "body": "body", "base64": "body", "hex": "body", "header": "headers", "cookie": "headers"}
	for _, s := range []string{token, foreign, password} {
		for name, req := range map[string]*http.Request{
			"path":     request(t, "GET", base+"/"+url.PathEscape(s), ""),
			"query":    request(t, "GET", base+"/?q="+url.QueryEscape(s), ""),
			"fragment": request(t, "GET", base+"/#"+url.PathEscape(s), ""),
			"body":     request(t, "POST", base, `{"note":"`+s+`"}`),
			"base64":   request(t, "POST", base, base64.StdEncoding.EncodeToString([]byte("x"+s))),
			"hex":      request(t, "POST", base, hex.EncodeToString([]byte(s))),
			"header":   with(request(t, "GET", base, ""), "X-Note", s),
			"cookie":   with(request(t, "GET", base, ""), "Cookie", "a="+s),
		} {
			_, err := openFor(t, req.Method, schemes["bearer"], base, never).RoundTrip(req)
			if !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "method") {
				t.Errorf("%s: %v", name, err)
			} else if c, ok := errors.AsType[*httpcred.Carried](err); !ok || len(c.Names()) != 1 || c.Part() != parts[name] {
				t.Errorf("%s: who has to look into it is told %+v", name, c)
			} else if text := err.Error() + fault.HintOf(err); text != "the request carries a known secretcredentials are put in by the Boundary; take it out of the arguments" {
				t.Errorf("%s: the refusal is not the same for all: %s", name, text)
			} else if strings.Contains(text, "crm") {
				t.Errorf("%s: the refusal says which secret: %s", name, text)
			} else {
				leaks(t, name, text)
			}
		}
	}
}

func with(r *http.Request, k, v string) *http.Request {
	r.Header[k] = []string{v}
	return r
}

func TestInjectionReplacesAndStrips(t *testing.T) {
	for name, auth := range schemes {
		var out *http.Request
		door := open(t, auth, "https://erp.example", roundTrip(func(r *http.Request) (*http.Response, error) {
			out = r
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}))
		req := request(t, "GET", "https://erp.example/x?a=1&API_KEY=mine&api_key=mine&api%5Fkey=mine&b=2#f", "")
		for _, h := range []string{"Authorization", "authorization", "X-API-KEY", "X-Api-Key", "x-api-key", "Cookie", "Proxy-Authorization", "X-Forwarded-For",
			"Forwarded", "Range", "If-Range", "Upgrade", "Te", "Via", "X-Real-Ip", "X-Hop", "Expect", "Trailer"} {
			req.Header[h] = []string{"mine"}
		}
		req.Header["Connection"] = []string{"X-Hop, close"}
		req.Header.Set("Accept", "application/json")
		if _, err := door.RoundTrip(req); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !arrived(name, out) {
			t.Errorf("%s: the credential is not in its place", name)
		}
		for k, vs := range out.Header {
			mine := strings.Join(vs, "") == "mine"
			if mine && (name == "header" || !strings.EqualFold(k, "X-Api-Key")) {
				t.Errorf("%s: %s was passed on", name, k)
			}
		}
		wantQuery := "a=1&API_KEY=mine&api_key=mine&api%5Fkey=mine&b=2"
		if name == "query" {
			wantQuery = "a=1&b=2&api_key=" + url.QueryEscape(token)
		}
		if out.URL.RawQuery != wantQuery || out.URL.Fragment != "" || out.Header.Get("Accept") != "application/json" || out.GetBody != nil {
			t.Errorf("%s: %s", name, strings.ReplaceAll(out.URL.RawQuery, url.QueryEscape(token), "…"))
		}
	}
}

func TestATransportsErrorIsAFixedSentence(t *testing.T) {
	for name, auth := range schemes {
		for _, cause := range []error{
			errors.New("proxy says: " + token + " " + password),
			&url.Error{Op: "Get", URL: "https://erp.example/?api_key=" + url.QueryEscape(token), Err: errors.New(password)},
			fault.New(fault.Denied, "the address of "+foreign+" is private").WithHint("see %s", password),
			fmt.Errorf("wrapped: %w", fault.Wrap(fault.Limit, token, errors.New(password))),
		} {
			door := open(t, auth, "https://erp.example", roundTrip(func(*http.Request) (*http.Response, error) { return nil, cause }))
			_, err := door.RoundTrip(request(t, "GET", "https://erp.example", ""))
			leaks(t, name, everything(nil, err)+fault.HintOf(err))
			if fault.KindOf(err) == fault.Internal || errors.Is(err, cause) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	_, err := open(t, schemes["query"], s.URL, s.Client().Transport).RoundTrip(request(t, "GET", s.URL, "").WithContext(ctx))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}

func TestASecretAddedOrRemovedDuringACallIsStillScrubbed(t *testing.T) {
	later, err := scrub.Build([]scrub.Secret{{Name: "new", Value: []byte("cnry-8e11Xc3NvJ5k72-new")}})
	if err != nil {
		t.Fatal(err)
	}
	var now atomic.Pointer[scrub.Set]
	opened := known(t)
	now.Store(opened)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		now.Store(later) // everything was removed, and another added
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+" cnry-8e11Xc3NvJ5k72-new")
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	origin, err := resource.ParseOrigin(u)
	if err != nil {
		t.Fatal(err)
	}
	door, err := httpcred.New(httpcred.Config{Auth: schemes["bearer"], Origin: origin, Method: "GET", Base: s.Client().Transport, Known: opened,
		Latest: now.Load, Fields: map[string]plain.Value{"token": plain.New([]byte(token))}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := door.RoundTrip(request(t, "GET", s.URL, ""))
	out := everything(resp, err)
	leaks(t, "removed", out)
	if !strings.Contains(out, "[secret:erp] [secret:new]") {
		t.Errorf("%s", out)
	}
}

func TestADoorIsNotMadeOfWhatDoesNotFit(t *testing.T) {
	field := func(k, v string) map[string]plain.Value { return map[string]plain.Value{k: plain.New([]byte(v))} }
	for name, c := range map[string]struct {
		auth   resource.Auth
		fields map[string]plain.Value
	}{
		"no such field":    {resource.Auth{Scheme: resource.SchemeBearer, Field: "key"}, field("token", token)},
		"a line break":     {resource.Auth{Scheme: resource.SchemeBearer}, field("token", token+"\r\nX-Evil: 1")},
		"Host":             {resource.Auth{Scheme: resource.SchemeHeader, Name: "host"}, field("token", token)},
		"Content-Length":   {resource.Auth{Scheme: resource.SchemeHeader, Name: "Content-Length"}, field("token", token)},
		"no header's name": {resource.Auth{Scheme: resource.SchemeHeader}, field("token", token)},
		"no parameter":     {resource.Auth{Scheme: resource.SchemeQuery}, field("token", token)},
		"no scheme":        {resource.Auth{}, field("token", token)},
		"basic, no user":   {resource.Auth{Scheme: resource.SchemeBasic}, field("password", token)},
		"a colon": {resource.Auth{Scheme: resource.SchemeBasic},
			map[string]plain.Value{"username": plain.New([]byte("a:b")), "password": plain.New([]byte(password))}},
	} {
		set := known(t)
		_, err := httpcred.New(httpcred.Config{Auth: c.auth, Fields: c.fields, Origin: resource.Origin{Scheme: "https", Host: "a:443"},
			Method: "GET", Base: http.DefaultTransport, Known: set, Latest: func() *scrub.Set { return set }})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		leaks(t, name, fmt.Sprintf("%v %+v", err, err))
	}
}

func TestADoorPrintsNoCredential(t *testing.T) {
	for name, auth := range schemes {
		door := open(t, auth, "https://erp.example", http.DefaultTransport)
		leaks(t, name, fmt.Sprintf("%v %+v %#v", door, door, door))
	}
}

func TestABareBasicChallengeStays(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="git"`:                      `Basic realm="git"`,
		`Basic realm="` + foreign + `"`:          `Basic realm="[secret:crm]"`,
		`Basic realm="a", Bearer realm="b"`:      "",
		`Negotiate abc`:                          "",
		`Basic realm="a"; nonce="` + token + `"`: "",
	} {
		s := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", header)
			w.WriteHeader(401)
		})
		resp, err := open(t, schemes["basic"], s.URL, s.Client().Transport).RoundTrip(request(t, "GET", s.URL, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Www-Authenticate"); got != want {
			t.Errorf("%q became %q, want %q", header, got, want)
		}
	}
}
