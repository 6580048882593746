package kube_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/kube"
)

// These run against a real API server where SALLYPORT_TEST_KUBE_ADDR names one;
// scripts/real-kube.sh starts one, with the role that the guide shows.

// real is the server, as an admin of the namespace has it.
type real struct {
	t         *testing.T
	url       string
	client    *http.Client
	token, ns string
	names     []string // that the guide's role has
	given     map[string]string
}

func realServer(t *testing.T) (*real, backend.Backend) {
	t.Helper()
	address := os.Getenv("SALLYPORT_TEST_KUBE_ADDR")
	if address == "" {
		t.Skip("SALLYPORT_TEST_KUBE_ADDR names no server")
	}
	ca, err := os.ReadFile(os.Getenv("SALLYPORT_TEST_KUBE_CA"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(os.Getenv("SALLYPORT_TEST_KUBE_ADMIN_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	r := &real{t: t, ns: os.Getenv("SALLYPORT_TEST_KUBE_NAMESPACE"), token: string(bytes.TrimSpace(token)), names: []string{"crm-token", "erp-login"}, given: map[string]string{},
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
	r.url = address + "/api/v1/namespaces/" + r.ns + "/secrets"
	for _, name := range r.names {
		r.remove(name)
	}
	b, err := kube.New(kube.Config{Namespace: r.ns, Address: address, CAFile: os.Getenv("SALLYPORT_TEST_KUBE_CA"), TokenFile: os.Getenv("SALLYPORT_TEST_KUBE_TOKEN_FILE")})
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

// ask is a request of the admin's.
func (r *real) ask(method, at string, body any) (int, []byte) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+at, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err = io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, b
}

func (r *real) remove(name string) { r.ask("DELETE", "/"+name, nil) }

// put replaces a Secret, or makes it, and gives its version.
func (r *real) put(name string, fields map[string]string) string {
	r.t.Helper()
	data := map[string][]byte{}
	for k, v := range fields {
		data[k] = []byte(v)
	}
	o := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]string{"name": name}, "data": data}
	code, b := r.ask("PUT", "/"+name, o)
	if code == http.StatusNotFound {
		code, b = r.ask("POST", "", o)
	}
	var out struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(b, &out); err != nil || code >= 300 || out.Metadata.ResourceVersion == "" {
		r.t.Fatalf("status %d: %s", code, b)
	}
	return out.Metadata.ResourceVersion
}

// path gives each word one of the names that the role has.
func (r *real) path(word string) string {
	if r.given[word] == "" {
		if len(r.given) == len(r.names) {
			r.t.Fatalf("the role has no name left for %s", word)
		}
		r.given[word] = r.names[len(r.given)]
	}
	return r.given[word]
}

func TestRealKubernetesKeepsTheContract(t *testing.T) {
	realServer(t) // or it is skipped
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		r, b := realServer(t)
		return backendtest.World{Backend: kube.Hurry(b), Path: r.path, Remove: func(t *testing.T, path string) { r.t = t; r.remove(path) },
			Put: func(t *testing.T, path string, fields map[string]string) string { r.t = t; return r.put(path, fields) }}
	})
}

// The role of the guide gives its two names and nothing else.
func TestRealKubernetesGivesOnlyWhatTheRoleNames(t *testing.T) {
	r, b := realServer(t)
	r.put("another", map[string]string{"a": "cnry-another"})
	defer r.remove("another")
	if _, err := b.Fetch(t.Context(), backend.Ask{Path: "another"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("fetched: %v", err)
	}
	err := b.(backend.Watcher).Watch(t.Context(), "another", func(backend.Sight) { t.Error("it is told of") })
	if backend.ReasonOf(err) != backend.Refused || err == nil || strings.Contains(err.Error(), "cnry") {
		t.Errorf("watched: %v", err)
	}
}

// A server that was started again knows no changes from before.
func TestRealKubernetesForgetsAndTheWatchBeginsAnew(t *testing.T) {
	r, b := realServer(t)
	r.put("crm-token", map[string]string{"a": "1"})
	l := watchFrom(t, kube.Hurry(b), "crm-token", "1")
	l.wants(backend.Began)
	l.wants(backend.Began) // what is there
	r.put("crm-token", map[string]string{"a": "2"})
	l.wants(backend.Changed)
}
