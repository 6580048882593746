package vaultkv_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vaulttest"
)

// cluster is a real Kubernetes API server, asked as its administrator.
type cluster struct {
	address, ca, admin string
	client             *http.Client
}

// realCluster gives the one that scripts/real-kube.sh starts.
func realCluster(t *testing.T) cluster {
	t.Helper()
	c := cluster{address: os.Getenv("SALLYPORT_TEST_KUBE_ADDR")}
	if c.address == "" {
		t.Skip("SALLYPORT_TEST_KUBE_ADDR names no API server")
	}
	for name, to := range map[string]*string{"SALLYPORT_TEST_KUBE_CA": &c.ca, "SALLYPORT_TEST_KUBE_ADMIN_FILE": &c.admin} {
		b, err := os.ReadFile(os.Getenv(name))
		if err != nil {
			t.Fatal(err)
		}
		*to = strings.TrimSpace(string(b))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.ca))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(tr.CloseIdleConnections)
	c.client = &http.Client{Transport: tr, Timeout: 30 * time.Second}
	return c
}

func (c cluster) do(t *testing.T, method, path string, in any) (out struct{ Status struct{ Token string } }) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.address+"/api/v1/"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.admin)
	r.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d", method, path, res.StatusCode)
	}
	_ = json.NewDecoder(res.Body).Decode(&out) // a status of another kind has no token
	return out
}

// account makes a service account, and a token of it for an audience.
func (c cluster) account(t *testing.T, name, audience string) (token string) {
	t.Helper()
	c.do(t, "POST", "namespaces/integrations/serviceaccounts", map[string]any{"metadata": map[string]string{"name": name}})
	return c.do(t, "POST", "namespaces/integrations/serviceaccounts/"+name+"/token",
		map[string]any{"spec": map[string]any{"audiences": []string{audience}, "expirationSeconds": 3600}}).Status.Token
}

// A real Vault asks a real API server whether a service account's token is good.
func TestARealClusterReviewsTheToken(t *testing.T) {
	s, k := vaulttest.Shared(t), realCluster(t)
	c, policy := realCRM(t, s)
	mount, good, other, gone := s.Auth(t, "kubernetes"), vaulttest.Name(), vaulttest.Name(), vaulttest.Name()
	s.Do(t, "POST", "auth/"+mount+"/config", map[string]any{"kubernetes_host": k.address, "kubernetes_ca_cert": k.ca, "token_reviewer_jwt": k.admin})
	s.Do(t, "POST", "auth/"+mount+"/role/sallyport", map[string]any{"bound_service_account_names": []string{good, gone},
		"bound_service_account_namespaces": []string{"integrations"}, "audience": "vault", "token_policies": []string{policy}, "token_ttl": "1h"})
	use := func(jwt string) {
		c.Kubernetes = &vaultkv.JWT{Mount: mount, Role: "sallyport", JWTFile: file(t, "jwt", jwt)}
	}
	token := k.account(t, good, "vault")
	use(token)
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	use(k.account(t, other, "vault"))
	refused(t, c, "another account")
	use(k.do(t, "POST", "namespaces/integrations/serviceaccounts/"+good+"/token", map[string]any{"spec": map[string]any{"audiences": []string{"elsewhere"}}}).Status.Token)
	refused(t, c, "another audience")
	i := strings.LastIndex(token, ".")
	use(token[:i+1] + strings.Repeat("A", len(token)-i-1))
	refused(t, c, "another signature")
	use(k.account(t, gone, "vault"))
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	k.do(t, "DELETE", "namespaces/integrations/serviceaccounts/"+gone, nil)
	// The API server remembers for ten seconds what it has said of a token.
	for until := time.Now().Add(time.Minute); ask(open(t, c, time.Now)) == nil; <-time.After(500 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("an account that was deleted signs in")
		}
	}
	refused(t, c, "an account that was deleted")
	use(k.admin)
	refused(t, c, "a token that is no account's")
}
