package azurekv_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/azurekv"
	"sallyport.dev/internal/vault/backend/backendtest"
)

func open(t *testing.T, c azurekv.Config, at string) backend.Backend {
	t.Helper()
	b, err := azurekv.OverForTest(c, at, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAKeyVaultKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, c, at := start(t)
		return backendtest.World{Backend: open(t, c, at), Pins: true, Path: func(word string) string { return word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				return f.put(path, fields[backend.Whole])
			},
			Remove: func(_ *testing.T, path string) { f.mu.Lock(); f.removed[path] = true; f.mu.Unlock() },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Silent, backendtest.Stranger, backendtest.Older},
			End: func() { f.mu.Lock(); f.token = ""; f.mu.Unlock() }, // it was revoked
		}
	})
}

// The contract against a key vault that SALLYPORT_TEST_AZURE_VAULT_URL names, as the
// application AZURE_CLIENT_ID of AZURE_TENANT_ID whose secret is in the file
// SALLYPORT_TEST_AZURE_SECRET_FILE; it may set and delete secrets there. Without one,
// against the fake in the same way.
func TestAKeyVaultThatIsNamedKeepsTheContract(t *testing.T) {
	c := azurekv.Config{Vault: os.Getenv("SALLYPORT_TEST_AZURE_VAULT_URL"), Tenant: os.Getenv("AZURE_TENANT_ID"), ClientID: os.Getenv("AZURE_CLIENT_ID"),
		ClientSecretFile: os.Getenv("SALLYPORT_TEST_AZURE_SECRET_FILE")}
	var b backend.Backend
	var err error
	if c.Vault == "" {
		_, fake, at := start(t)
		b = open(t, fake, at)
	} else if b, err = azurekv.New(c, time.Now); err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		run := strings.ToLower(rand.Text()[:8])
		return backendtest.World{Backend: b, Pins: true, Path: func(word string) string { return "sallyport-test-" + run + "-" + word },
			Put: func(t *testing.T, path string, fields map[string]string) string {
				id, err := azurekv.PutForTest(ctx, b, path, fields[backend.Whole])
				if err != nil {
					t.Fatal(err)
				}
				return id
			},
			Remove: func(t *testing.T, path string) {
				if err := azurekv.DeleteForTest(ctx, b, path); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func ask(t *testing.T, b backend.Backend) (backend.Answer, error) {
	t.Helper()
	got, err := b.Fetch(t.Context(), backend.Ask{Path: "crm"})
	got.Wipe()
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("an error repeats what a server wrote: %v", err)
	}
	return got, err
}

func TestASecretThatIsDisabledOrNotValidIsRefused(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	b := open(t, c, at)
	for name, a := range map[string]map[string]any{"disabled": {"enabled": false}, "not valid yet": {"nbf": time.Now().Add(time.Hour).Unix()}, "expired": {"exp": time.Now().Add(-time.Second).Unix()}} {
		f.attributes = a
		if _, err := ask(t, b); backend.ReasonOf(err) != backend.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.attributes = map[string]any{"enabled": "yes"}
	if _, err := ask(t, b); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("no word on whether it is enabled: %v", err)
	}
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	f.attributes = map[string]any{"exp": end.Unix()}
	if got, err := ask(t, b); err != nil || !got.NotAfter.Equal(end) {
		t.Errorf("it ends at %s, %v", got.NotAfter, err)
	}
}

func TestTheSDKRepeatsNothingAndSaysWhenToAskAgain(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	b := open(t, c, at)
	if _, err := ask(t, b); err != nil {
		t.Fatal(err)
	}
	f.fault, f.asked = backendtest.Busy, nil
	_, err := ask(t, b)
	e, ok := errors.AsType[*backend.Error](err)
	if !ok || e.After != 3*time.Second || len(f.asked) != 1 {
		t.Errorf("asked %v, %v after %s", f.asked, err, e.After)
	}
}

// What a vault asks for a token with leads nowhere, whatever it says. The SDK would
// send a token for another resource, and end the program over an address in two parts.
func TestAChallengeForSomethingElseIsRefused(t *testing.T) {
	for _, says := range []string{
		`Bearer authorization="https://login.microsoftonline.com/x", resource="https://management.azure.com"`,
		`Bearer authorization="https://login.microsoftonline.com/x", resource="https://net"`,
		`Bearer authorization="https://login.microsoftonline.com/x", resource="https://azure.net"`,
		`Bearer authorization="x", resource="https://vault.azure.net"`, `Bearer authorization="https://x", resource="https://vault.azure.net"`, `Bearer`, `Basic realm="x"`,
		`Bearer error="insufficient_claims", claims="eyJ9", authorization="https://login.microsoftonline.com/x", resource="https://vault.azure.net"`,
	} {
		f, c, at := start(t)
		f.put("crm", "cnry-of-the-fake")
		f.challenge = says
		if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Wrong || f.signIns > 0 {
			t.Errorf("%s: signed in %d times, %v", says, f.signIns, err)
		}
	}
}

func TestWordsThatFollowAChallengeAreNotRead(t *testing.T) {
	for _, more := range []string{
		`, scope="https://graph.microsoft.com"`, `, error="invalid_token", error_description="see resource="https://management.azure.com" authorization="x" scope="https://x""`,
		`, error="insufficient_claims", claims="eyJ9"`,
	} {
		f, c, at := start(t)
		f.put("crm", "cnry-of-the-fake")
		f.challenge = challenge + more
		if _, err := ask(t, open(t, c, at)); err != nil || f.signIns != 1 { // for a key vault: Entra ID here gives no other token
			t.Errorf("%s: signed in %d times, %v", more, f.signIns, err)
		}
	}
	f, c, at := start(t)
	f.fault = backendtest.Refusing
	f.forbids = `Bearer authorization="x"`
	if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("beside a refusal: %v", err)
	}
}

func TestATenantThatTheVaultNamesIsNotSignedInTo(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	f.challenge = strings.Replace(challenge, theTenant, "66666666-6666-6666-6666-666666666666", 1)
	if _, err := ask(t, open(t, c, at)); err != nil {
		t.Error(err)
	}
	for _, at := range f.asked {
		if strings.Contains(at, "66666666") {
			t.Errorf("%s was asked", at)
		}
	}
}

func TestOnlyAKeyVaultOfACloudIsTaken(t *testing.T) {
	_, good, _ := start(t)
	for name, spoil := range map[string]func(*azurekv.Config){
		"two ways":         func(c *azurekv.Config) { c.ManagedIdentity = true },
		"no way":           func(c *azurekv.Config) { c.ClientSecretFile = "" },
		"a tenant climbs":  func(c *azurekv.Config) { c.Tenant = "../x" },
		"any tenant":       func(c *azurekv.Config) { c.Tenant = "common" },
		"AD FS":            func(c *azurekv.Config) { c.Tenant = "adfs" },
		"no client":        func(c *azurekv.Config) { c.ClientID = "" },
		"plain HTTP":       func(c *azurekv.Config) { c.Vault = "http://x.vault.azure.net" },
		"on this machine":  func(c *azurekv.Config) { c.Vault = "http://127.0.0.1" },
		"a plain sign-in":  func(c *azurekv.Config) { c.Authority = "http://login.example.com" },
		"a plain one here": func(c *azurekv.Config) { c.Authority = "http://127.0.0.1:1" },
		"a vault's secret": func(c *azurekv.Config) { c.Vault += "/secrets/x" },
		"no vault's name":  func(c *azurekv.Config) { c.Vault = "https://vault.azure.net" },
		"a port":           func(c *azurekv.Config) { c.Vault += ":8443" },
	} {
		c := good
		spoil(&c)
		if _, err := azurekv.New(c, time.Now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// answers are the same for every request.
type answers struct {
	status    int
	body      []byte
	challenge string
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	if a.challenge != "" {
		h.Set("Www-Authenticate", a.challenge)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnAnswer gives whatever it likes to the SDK and to what is before and after it.
func FuzzAnAnswer(f *testing.F) {
	f.Add(200, []byte(`{"value":"cnry","id":"https://acme.vault.azure.net/secrets/crm/0123456789abcdef0123456789abcdef","attributes":{"enabled":true,"exp":9999999999}}`))
	f.Add(200, []byte(`{"value":"cnry","id":"https://x","attributes":{"enabled":null,"nbf":-1}}`))
	f.Add(200, []byte(`{"value":"cnry","id":7,"attributes":[]}`))
	f.Add(403, []byte(`{"error":{"code":"Forbidden","message":"cnry"}}`))
	secret := file(f, "secret", "client~secret")
	f.Fuzz(func(t *testing.T, status int, raw []byte) {
		if status < 100 || status > 999 {
			return
		}
		b, err := azurekv.AnsweredForTest(secret, answers{status, raw, ""})
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Fetch(t.Context(), backend.Ask{Path: "crm"})
		if err == nil && (status != 200 || len(got.Fields) == 0 || len(got.Version) != 32) {
			t.Errorf("an answer that is none: %d %q", status, raw)
		}
		sorted(t, err)
		got.Wipe()
	})
}

// sorted: an error has a reason, and nothing of what was answered.
func sorted(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*backend.Error](err); !ok || e.Reason == "" || strings.Contains(err.Error(), "cnry") {
		t.Errorf("%v", err)
	}
}

// FuzzAChallenge gives whatever it likes to the SDK's reading of challenges.
func FuzzAChallenge(f *testing.F) {
	f.Add(challenge)
	f.Add(`Bearer authorization="x", resource="https://vault.azure.net"`)
	f.Add(`Bearer authorization="https://a/b" resource="https://vault.azure.net"`)
	f.Add(`Bearer claims="e30=", error="insufficient_claims"`)
	secret := file(f, "secret", "client~secret")
	f.Fuzz(func(t *testing.T, says string) {
		b, err := azurekv.AnsweredForTest(secret, answers{401, []byte(`{"error":"cnry"}`), says})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.Fetch(t.Context(), backend.Ask{Path: "crm"}); err == nil {
			t.Error("a refusal is an answer")
		}
		sorted(t, err)
	})
}
