package awssm_test

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/awssm"
	"sallyport.dev/internal/vault/backend/backendtest"
)

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config has its keys in a file.
func config(t *testing.T, f *fakeAWS) awssm.Config {
	t.Helper()
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	return awssm.Config{Region: "eu-central-1", Endpoint: s.URL, STSEndpoint: s.URL, Credentials: "file",
		CAFile:          file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))),
		CredentialsFile: file(t, "credentials", "[other]\naws_access_key_id=x\n[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-key-of-the-fake\n")}
}

func open(t *testing.T, c awssm.Config, now func() time.Time) backend.Backend {
	t.Helper()
	b, err := awssm.New(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheSecretsManagerKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f := newFake()
		c := config(t, f)
		c.Write, c.Credentials, c.RoleARN, c.TokenFile = true, "webIdentity", webRole, file(t, "jwt", f.jwt)
		return backendtest.World{Backend: open(t, c, time.Now), Pins: true, Path: func(word string) string { return "sallyport/" + word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				return f.put(path, fields[backend.Whole])
			},
			Remove: func(_ *testing.T, path string) { f.secrets[path].deleted = true },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Silent, backendtest.Stranger, backendtest.Older},
			End: func() { f.mu.Lock(); clear(f.session); f.mu.Unlock() }, // what STS gave is revoked
		}
	})
}

// The contract against a service with the API, at an address that is named, with
// credentials from the environment, and as the role that SALLYPORT_TEST_AWS_ROLE names,
// which STS at the same address gives; without one, against the fake in the same way.
func TestAServiceThatIsNamedKeepsTheContract(t *testing.T) {
	c := awssm.Config{Region: os.Getenv("AWS_REGION"), Endpoint: os.Getenv("SALLYPORT_TEST_AWS_ENDPOINT"), Credentials: "environment", Write: true}
	if role := os.Getenv("SALLYPORT_TEST_AWS_ROLE"); role != "" {
		c.STSEndpoint, c.AssumeRole = c.Endpoint, &awssm.AssumeRole{RoleARN: role}
	}
	if c.Endpoint == "" {
		s := httptest.NewServer(newFake()) // as an emulator on this machine
		t.Cleanup(s.Close)
		c.Region, c.Endpoint = "eu-central-1", s.URL
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-key-of-the-fake")
		t.Setenv("AWS_SESSION_TOKEN", "")
	}
	b := open(t, c, time.Now)
	ctx := context.WithoutCancel(t.Context())
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		run := strings.ToLower(rand.Text()[:8])
		name := func(word string) string { return "sallyport-test/" + run + "/" + word }
		return backendtest.World{Backend: b, Pins: true, Path: name,
			Put: func(t *testing.T, path string, fields map[string]string) string {
				id, err := awssm.PutForTest(ctx, b, path, fields[backend.Whole])
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = awssm.DeleteForTest(ctx, b, path) })
				return id
			},
			Remove: func(t *testing.T, path string) {
				if err := awssm.DeleteForTest(ctx, b, path); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func ask(t *testing.T, b backend.Backend, a backend.Ask) (string, error) {
	t.Helper()
	got, err := b.Fetch(t.Context(), a)
	got.Wipe()
	return got.Version, err
}

func TestStagesAndARNsNameVersions(t *testing.T) {
	f := newFake()
	one, two := f.put("crm", "cnry-one-of-the-fake"), f.put("crm", "cnry-two-of-the-fake")
	b := open(t, config(t, f), time.Now)
	arn := f.secrets["crm"].arn
	for a, want := range map[backend.Ask]string{{Path: "crm"}: two, {Path: "crm", Version: "AWSCURRENT"}: two, {Path: "crm", Version: "AWSPREVIOUS"}: one, {Path: "crm", Version: one}: one, {Path: arn}: two} {
		if got, err := ask(t, b, a); err != nil || got != want {
			t.Errorf("%+v: %q, %v", a, got, err)
		}
	}
	if _, err := ask(t, b, backend.Ask{Path: "crm", Version: "AWSPENDING"}); backend.ReasonOf(err) != backend.Missing {
		t.Errorf("a stage that no version has: %v", err)
	}
	if b.Check(backend.Ask{Path: strings.TrimSuffix(arn, "-AbCdEf") + "/x:y"}) == nil {
		t.Error("half an ARN was taken")
	}
}

func TestCredentialsComeFromTheSourceThatIsNamed(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	c := config(t, f)
	c.Credentials = "environment"
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	b := open(t, c, time.Now)
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("an empty environment: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-key-of-the-fake")
	t.Setenv("AWS_SESSION_TOKEN", "")
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"another-key-of-some-length", "short"} { // under the same id: none is remembered
		t.Setenv("AWS_SECRET_ACCESS_KEY", wrong)
		if _, err := ask(t, b, backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
			t.Errorf("the key %s: %v", wrong, err)
		}
	}
	c = config(t, f)
	c.Profile = "nobody"
	if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("no such profile: %v", err)
	}
	for name, spoil := range map[string]func(*awssm.Config){
		"no source":  func(c *awssm.Config) { c.Credentials = "" },
		"a chain":    func(c *awssm.Config) { c.Credentials = "default" },
		"no region":  func(c *awssm.Config) { c.Region = "eu/../x" },
		"plain HTTP": func(c *awssm.Config) { c.Endpoint = "http://secretsmanager.example.com" },
		"a container afar": func(c *awssm.Config) {
			c.Credentials = "container"
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x")
		},
	} {
		c := config(t, f)
		spoil(&c)
		if _, err := awssm.New(c, time.Now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
