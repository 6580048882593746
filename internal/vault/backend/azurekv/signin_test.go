package azurekv_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/azurekv"
)

func TestAnAssertionSignsInAndATokenIsKept(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	f.credential = "eyJ.a.b"
	c.ClientSecretFile, c.AssertionFile = "", file(t, "jwt", "eyJ.a.b")
	b := open(t, c, at)
	for range 5 {
		if _, err := ask(t, b); err != nil {
			t.Fatal(err)
		}
	}
	if f.signIns != 1 {
		t.Errorf("signed in %d times", f.signIns)
	}
	f.credential = "another"
	if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("a wrong assertion: %v", err)
	}
}

func TestACredentialIsReadAgainWhereATokenIsRefused(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	b := open(t, c, at)
	if _, err := ask(t, b); err != nil {
		t.Fatal(err)
	}
	f.token, f.credential = "", "client~secret.two" // both were replaced
	if _, err := ask(t, b); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("with the old secret: %v", err)
	}
	if err := os.WriteFile(c.ClientSecretFile, []byte("client~secret.two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, b); err != nil {
		t.Errorf("with the new one: %v", err)
	}
}

func TestACertificateSignsIn(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := certified(t, key)
	for _, chain := range []bool{false, true} {
		f, c, at := start(t)
		f.put("crm", "cnry-of-the-fake")
		f.certificate, f.chain = cert, chain
		c.ClientSecretFile, c.SendChain = "", chain
		c.ClientCertificateFile = file(t, "app.pem", inPEM("CERTIFICATE", cert.Raw)+inPEM("PRIVATE KEY", der))
		b := open(t, c, at)
		for range 2 { // each assertion is used once
			if _, err := ask(t, b); err != nil {
				t.Errorf("with the chain sent %t: %v", chain, err)
			}
			f.token = ""
		}
		f.certificate = certified(t, key) // another one of the same key
		if _, err := ask(t, b); backend.ReasonOf(err) != backend.Refused {
			t.Errorf("a certificate that Entra ID does not know: %v", err)
		}
	}
	short, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(short); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no key": inPEM("CERTIFICATE", cert.Raw), "no RSA key": inPEM("CERTIFICATE", certified(t, short).Raw) + inPEM("PRIVATE KEY", der), "nothing": "cnry-" + canary,
		"another's key": inPEM("CERTIFICATE", cert.Raw) + inPEM("PRIVATE KEY", der),
	} {
		_, c, at := start(t)
		c.ClientSecretFile, c.ClientCertificateFile = "", file(t, "app.pem", text)
		if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhyEntraGivesNoTokenIsToldApart(t *testing.T) {
	for status, want := range map[int]backend.Reason{429: backend.Away, 500: backend.Away, 503: backend.Away, 400: backend.Refused, 302: backend.Refused} {
		f, c, at := start(t)
		f.loginSays = status
		_, err := ask(t, open(t, c, at))
		if e, ok := errors.AsType[*backend.Error](err); !ok || e.Reason != want || want == backend.Away && e.After != 9*time.Second {
			t.Errorf("%d: %v (%s)", status, err, backend.ReasonOf(err))
		}
	}
}

// Entra ID's own description says where tokens are: the credential goes nowhere but to
// the authority that the server's file names.
func TestATokenEndpointElsewhereGetsNoCredential(t *testing.T) {
	f, c, at := start(t)
	f.put("crm", "cnry-of-the-fake")
	f.endpoint = "https://" + vaultHost + "/steal"
	if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Wrong {
		t.Error(err)
	}
	for _, at := range f.asked {
		if strings.Contains(at, "steal") {
			t.Error("it was sent there")
		}
	}
}

// Each variable alone leads an SDK with its defaults elsewhere, or makes it somebody
// else. Two of them the SDK follows whatever it is told: then nothing is sent.
func TestTheEnvironmentNeitherLeadsElsewhereNorSaysWhoWeAre(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	imds := httptest.NewServer(http.HandlerFunc(metadata))
	defer imds.Close()
	for name, value := range map[string]string{
		"AZURE_AUTHORITY_HOST": "https://login.thief.example", "AZURE_TENANT_ID": "66666666-6666-6666-6666-666666666666", "AZURE_CLIENT_ID": "thief", "AZURE_CLIENT_SECRET": "thief", "AZURE_CLIENT_CERTIFICATE_PATH": "/x",
		"AZURE_FEDERATED_TOKEN_FILE": "/x", "AZURE_USERNAME": "x", "AZURE_PASSWORD": "x", "AZURE_ADDITIONALLY_ALLOWED_TENANTS": "*", "AZURE_TOKEN_CREDENTIALS": "dev", "AZURE_POD_IDENTITY_AUTHORITY_HOST": thief.URL,
		"AZURE_KUBERNETES_TOKEN_PROXY": thief.URL, "IDENTITY_ENDPOINT": thief.URL, "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "x", "MSI_ENDPOINT": thief.URL, "MSI_SECRET": "x", "IMDS_ENDPOINT": thief.URL,
		"HTTPS_PROXY": thief.URL, "HTTP_PROXY": thief.URL, "ALL_PROXY": thief.URL, "https_proxy": thief.URL, "REGION_NAME": "westus2",
		"AZURE_REGIONAL_AUTHORITY_NAME": "westus2", "MSAL_FORCE_REGION": "westus2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			f, c, at := start(t)
			f.put("crm", "cnry-of-the-fake")
			_, err := ask(t, open(t, c, at))
			if strings.Contains(name, "REGION") && name != "REGION_NAME" {
				if backend.ReasonOf(err) != backend.Wrong || f.signIns > 0 {
					t.Errorf("signed in %d times, %v", f.signIns, err)
				}
			} else if err != nil {
				t.Error(err)
			}
			for _, asked := range f.asked {
				if !strings.HasPrefix(asked, vaultHost) && !strings.HasPrefix(asked, loginHost+"/"+theTenant+"/") {
					t.Errorf("%s was asked", asked)
				}
			}
			if got, _, err := azurekv.ManagedForTest(t.Context(), imds.URL, "app"); err != nil || got != "eyJ" {
				t.Errorf("of the machine: %q, %v", got, err)
			}
		})
	}
	if stolen.Load() > 0 {
		t.Errorf("%d requests went elsewhere", stolen.Load())
	}
}

// travels counts what is sent by the process's own transport: it knows the proxies of
// the environment, and no bound.
type travels struct{ sent atomic.Int32 }

func (tr *travels) RoundTrip(*http.Request) (*http.Response, error) {
	tr.sent.Add(1)
	return nil, errors.New("nowhere")
}

// A variable has Microsoft's library ask the metadata service for a region, past the
// transport that it was given. Then it isn't asked for anything.
func TestTheEnvironmentHasNobodyAskForARegion(t *testing.T) {
	was, tr := http.DefaultTransport, &travels{}
	http.DefaultTransport = tr
	t.Cleanup(func() { http.DefaultTransport = was })
	for _, name := range []string{"AZURE_REGIONAL_AUTHORITY_NAME", "MSAL_FORCE_REGION"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "TryAutoDetect")
			f, c, at := start(t)
			f.put("crm", "cnry-of-the-fake")
			if _, err := ask(t, open(t, c, at)); backend.ReasonOf(err) != backend.Wrong || f.signIns > 0 {
				t.Errorf("signed in %d times, %v", f.signIns, err)
			}
		})
	}
	if n := tr.sent.Load(); n > 0 {
		t.Errorf("%d requests went past the transport", n)
	}
}

// The environment would have the SDK log every request to standard error: a process
// that signs in and fetches with it says nothing but that the test has passed.
func TestTheSDKLogsNothing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnAssertionSignsInAndATokenIsKept$")
	cmd.Env = append(os.Environ(), "AZURE_SDK_GO_LOGGING=all")
	said, err := cmd.CombinedOutput()
	if text := strings.TrimSpace(string(said)); err != nil || !strings.HasPrefix(text, "PASS") || strings.Contains(text, "REQUEST") || strings.Contains(text, "http") {
		t.Errorf("%v: %s", err, said)
	}
}

func metadata(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata") != "true" || r.URL.Path != "/metadata/identity/oauth2/token" || r.URL.Query().Get("resource") != "https://vault.azure.net" || r.URL.Query().Get("client_id") != "app" {
		w.WriteHeader(400)
		return
	}
	_, _ = w.Write([]byte(`{"access_token":"eyJ","expires_in":"86399","resource":"https://vault.azure.net","token_type":"Bearer"}`))
}

func TestAManagedIdentityIsOfTheMachine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(metadata))
	defer s.Close()
	if got, end, err := azurekv.ManagedForTest(t.Context(), s.URL, "app"); err != nil || got != "eyJ" || time.Until(end) < 23*time.Hour {
		t.Errorf("%q until %s, %v", got, end, err)
	}
	if _, _, err := azurekv.ManagedForTest(t.Context(), s.URL, "another"); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("an identity that the machine does not have: %v", err)
	}
}
