package httpcred_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// signingKey is 30 bytes.
const signingKey = "whsec_Y25yeS05ZjI3S3EwWnhXNHY4MS1vbmUtMTIzNDU2"

// channelDoor makes a door with one value as its Secret.
func channelDoor(t testing.TB, scheme resource.Scheme, value, base string, tr http.RoundTripper) (http.RoundTripper, error) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	origin, err := resource.ParseOrigin(u)
	if err != nil {
		t.Fatal(err)
	}
	set, err := scrub.Build([]scrub.Secret{{Name: "hook", Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return httpcred.New(httpcred.Config{Auth: resource.Auth{Scheme: scheme}, Origin: origin, Method: "POST", Base: tr, Known: set,
		Latest: func() *scrub.Set { return set }, Fields: map[string]plain.Value{"token": plain.New([]byte(value))}})
}

// signed sends a message through a signing door and gives what arrived.
func signed(t *testing.T, body string, change func(*http.Request)) (got http.Header, arrived []byte) {
	t.Helper()
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header
		arrived, _ = io.ReadAll(r.Body)
	})
	door, err := channelDoor(t, resource.SchemeSignature, signingKey, s.URL, s.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "POST", s.URL+"/in", body)
	req.Header.Set(httpcred.HeaderID, "msg_1")
	req.Header.Set(httpcred.HeaderTimestamp, strconv.FormatInt(time.Now().Unix(), 10))
	if change != nil {
		change(req)
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return got, arrived
}

// The receiver is the specification's own library.
func TestAReceiverVerifiesTheSignature(t *testing.T) {
	wh, err := standardwebhooks.NewWebhook(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"type":"decision.waiting"}`, "", strings.Repeat("ü", 5000)} {
		h, b := signed(t, body, nil)
		if err := wh.Verify(b, h); err != nil || string(b) != body {
			t.Errorf("%.20s: %v", body, err)
		}
		if err := wh.Verify(append(b, ' '), h); err == nil {
			t.Error("a body that was tampered with verifies")
		}
		for name, value := range map[string]string{"Webhook-Id": "msg_2", "Webhook-Timestamp": strconv.FormatInt(time.Now().Unix()+1, 10)} {
			other := h.Clone()
			other.Set(name, value)
			if err := wh.Verify(b, other); err == nil {
				t.Errorf("another %s verifies", name)
			}
		}
	}
	h, b := signed(t, "{}", func(r *http.Request) {
		r.Header.Set(httpcred.HeaderTimestamp, strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10))
	})
	if err := wh.Verify(b, h); err == nil {
		t.Error("an old message verifies")
	}
	wrong, err := standardwebhooks.NewWebhookRaw([]byte("another key of twenty-four bytes"))
	if err != nil {
		t.Fatal(err)
	}
	if h, b = signed(t, "{}", nil); wrong.Verify(b, h) == nil {
		t.Error("another key verifies")
	}
}

func TestASignatureThatTheCallerBringsIsReplaced(t *testing.T) {
	h, _ := signed(t, "{}", func(r *http.Request) {
		r.Header["webhook-signature"] = []string{"v1,forged"}
		r.Header.Set("Webhook-Signature", "v1,forged")
	})
	if all := fmt.Sprint(h.Values("Webhook-Signature")); strings.Contains(all, "forged") || len(h.Values("Webhook-Signature")) != 1 {
		t.Error(all)
	}
}

func TestWhatIsSignedCantBeReadInTwoWays(t *testing.T) {
	door, err := channelDoor(t, resource.SchemeSignature, signingKey, "https://hooks.example", roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, io.EOF
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range [][2]string{{"", "1"}, {"msg_1", ""}, {"msg.1", "1"}, {"msg_1", "1.5"}, {"msg_1", "-1"}, {strings.Repeat("m", 65), "1"}, {"msg_1", "1234567890123"}} {
		req := request(t, "POST", "https://hooks.example/", "{}")
		req.Header.Set(httpcred.HeaderID, h[0])
		req.Header.Set(httpcred.HeaderTimestamp, h[1])
		if _, err := door.RoundTrip(req); !fault.Is(err, fault.Internal) {
			t.Errorf("%q: %v", h, err)
		}
	}
}

func TestASigningKeyIsWhatTheSpecificationSays(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n))) }
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"24 bytes": {"whsec_" + b64(24), true}, "64 bytes": {"whsec_" + b64(64), true}, "23 bytes": {"whsec_" + b64(23), false}, "65 bytes": {"whsec_" + b64(65), false},
		"no prefix": {b64(32), false}, "no base64": {"whsec_" + strings.Repeat("!", 40), false}, "a line end": {"whsec_" + b64(24) + "\n", false},
	} {
		_, err := channelDoor(t, resource.SchemeSignature, c.value, "https://hooks.example", http.DefaultTransport)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), c.value) {
			t.Errorf("%s: the error has the value", name)
		}
	}
}

func TestASecretAddressGoesToItsOriginAlone(t *testing.T) {
	const path = "/services/T0CNRY4/B0CNRY5/cnry9f27Kq0ZxW4v81one"
	var got string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.String()
		http.Error(w, "no such hook: "+r.URL.String(), http.StatusNotFound)
	})
	door, err := channelDoor(t, resource.SchemeAddress, s.URL+path+"?x=1", s.URL, s.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "POST", s.URL+"/", `{"text":"hi"}`)
	resp, err := door.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got != path+"?x=1" || req.URL.Path != "/" || resp.Request != req {
		t.Errorf("it went to %q; the caller's request is for %q", got, req.URL)
	}
	for name, target := range map[string]string{"a path": s.URL + "/own", "a query": s.URL + "/?q=1"} {
		if _, err := door.RoundTrip(request(t, "POST", target, "{}")); !fault.Is(err, fault.Internal) {
			t.Errorf("a request with %s: %v", name, err)
		}
	}
	if _, err := door.RoundTrip(request(t, "POST", "https://elsewhere.example/", "{}")); !fault.Is(err, fault.Denied) {
		t.Errorf("elsewhere: %v", err)
	}
	for name, value := range map[string]string{
		"another host": "https://evil.example" + path, "another port": "https://hooks.example:8443" + path, "another scheme": "http://hooks.example" + path,
		"no path": "https://hooks.example", "user information": "https://u:p@hooks.example" + path, "a fragment": "https://hooks.example" + path + "#x",
		"a line end": "https://hooks.example" + path + "\n", "no URL": "token-that-is-no-url", "opaque": "https:hooks.example",
	} {
		_, err := channelDoor(t, resource.SchemeAddress, value, "https://hooks.example", http.DefaultTransport)
		if err == nil || strings.Contains(fmt.Sprint(err, fault.HintOf(err)), "cnry") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever stands in the Secret: a door goes to its origin, or there is none.
func FuzzASecretAddressIsReadOnce(f *testing.F) {
	for _, s := range []string{"https://hooks.example/services/T/B/X", "https://hooks.example@evil.example/x", "https://hooks.example\\@evil.example/x", "//hooks.example/x", "https://HOOKS.example:443/%2e%2e/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if value == "" || scrub.Check([]byte(value)) != nil {
			return
		}
		var to string
		door, err := channelDoor(t, resource.SchemeAddress, value, "https://hooks.example", roundTrip(func(r *http.Request) (*http.Response, error) {
			to = r.URL.Scheme + "://" + r.URL.Host
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		}))
		if err != nil {
			return
		}
		if resp, err := door.RoundTrip(request(t, "POST", "https://hooks.example/", "{}")); err == nil {
			_ = resp.Body.Close()
			if to != "https://hooks.example" {
				t.Fatalf("it went to %q", to)
			}
		}
	})
}
