package vaultkv_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vaulttest"
)

// realCRM is a real engine with a value at "crm", and the policy that reads it.
func realCRM(t *testing.T, s *vaulttest.Server) (c vaultkv.Config, policy string) {
	t.Helper()
	mount := s.KV(t, 2)
	put(t, s, 2, mount, "crm", map[string]string{"password": "x"})
	return at(s, 2, mount), s.Policy(t, `path "`+mount+`/data/crm" { capabilities = ["read"] }`)
}

// refused checks that a sign-in is refused, and not for another reason.
func refused(t *testing.T, c vaultkv.Config, what string) {
	t.Helper()
	err := ask(open(t, c, time.Now))
	if backend.ReasonOf(err) != backend.Refused || !strings.Contains(err.Error(), "refuses the sign-in") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestARealAppRoleSignsIn(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	c.AppRole = appRole(t, s, policy, nil)
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	role := "auth/" + c.AppRole.Mount + "/role/sallyport"
	secret := func(in any, headers ...string) vaulttest.Answer {
		return s.Ask(t, "POST", role+"/secret-id", in, append(headers, "X-Vault-Token", s.Token)...)
	}
	use := func(id any) {
		text, _ := id.(string)
		c.AppRole.SecretIDFile = file(t, "secret-id", text)
	}
	of := func(a vaulttest.Answer) any {
		data, _ := a.Body["data"].(map[string]any)
		return data["secret_id"]
	}
	use("00000000-0000-0000-0000-000000000000")
	refused(t, c, "a secret id that there is not")

	use(of(secret(map[string]any{"num_uses": 1})))
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Errorf("a secret id for one use: %v", err)
	}
	refused(t, c, "a secret id that was used up")

	// Vault takes those that have ended away once a minute, and asks nothing before.
	use(of(secret(map[string]any{"ttl": "1s"})))
	tidy := func() { s.Do(t, "POST", "auth/"+c.AppRole.Mount+"/tidy/secret-id", nil) }
	for until := time.Now().Add(20 * time.Second); ask(open(t, c, time.Now)) == nil; <-time.After(200 * time.Millisecond) {
		tidy()
		if time.Now().After(until) {
			t.Fatal("the secret id does not end")
		}
	}
	refused(t, c, "a secret id that has ended")

	use(of(secret(map[string]any{"cidr_list": "10.0.0.7/32"})))
	refused(t, c, "a secret id for another address")

	// A token that wraps a secret id is none: who unwraps it writes what is in it.
	wrap, _ := secret(nil, "X-Vault-Wrap-TTL", "60s").Body["wrap_info"].(map[string]any)
	use(wrap["token"])
	refused(t, c, "a wrapped secret id")

	use(of(secret(nil)))
	c.AppRole.RoleID = "00000000-0000-0000-0000-000000000000"
	refused(t, c, "a role that there is not")
	c.AppRole.Mount = "nowhere"
	refused(t, c, "a mount that there is not")
}

// With tokens that live two seconds, renewed to four at most, there is always one
// that ends: no question notices.
func TestNoQuestionFailsWhileRealTokensEnd(t *testing.T) {
	s := vaulttest.Shared(t)
	for name, role := range map[string]map[string]any{
		"renewed":                 {"token_ttl": "2s", "token_max_ttl": "4s"},
		"batch, never renewed":    {"token_ttl": "2s", "token_max_ttl": "2s", "token_type": "batch"},
		"without default policy":  {"token_ttl": "2s", "token_max_ttl": "4s", "token_no_default_policy": true},
		"for three uses, no more": {"token_num_uses": 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, policy := realCRM(t, s)
			c.AppRole = appRole(t, s, policy, role)
			began, faster := time.Now(), int64(1)
			if role["token_num_uses"] != nil {
				faster = 1000 // a token that is young and refused is not got anew
			}
			b := open(t, c, func() time.Time { return began.Add(time.Duration(int64(time.Since(began)) * faster)) })
			asked := 0
			for time.Since(began) < 7*time.Second {
				if err := ask(b); err != nil {
					t.Fatalf("after %s and %d questions: %v", time.Since(began), asked, err)
				}
				asked++
				<-time.After(20 * time.Millisecond)
			}
			t.Logf("%d questions", asked)
		})
	}
}

func TestARealTokenOfAFileIsRenewedAndReadAgain(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	token := s.TokenOf(t, []string{policy}, map[string]any{"ttl": "1h"})
	c.TokenFile = file(t, "token", token)
	now := time.Now()
	b := open(t, c, func() time.Time { return now })
	if err := ask(b); err != nil {
		t.Fatal(err)
	}
	now = now.Add(50 * time.Minute) // of ours: two thirds are over
	if err := ask(b); err != nil {
		t.Fatal(err)
	}
	if got := s.Do(t, "POST", "auth/token/lookup", map[string]any{"token": token}); got["last_renewal"] == nil {
		t.Error("the token was not renewed")
	}
	s.Do(t, "POST", "auth/token/revoke", map[string]any{"token": token})
	now = now.Add(time.Minute)
	if err := ask(b); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("a token that was revoked: %v", err)
	}
	if err := os.WriteFile(c.TokenFile, []byte(s.TokenOf(t, []string{policy}, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if err := ask(b); err != nil {
		t.Errorf("another token in the file: %v", err)
	}
}

// signer makes JWTs.
type signer struct {
	key *ecdsa.PrivateKey
	pem string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (s signer) jwt(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	v.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func TestARealJWTSignsIn(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	ours, other := newSigner(t), newSigner(t)
	mount := s.Auth(t, "jwt")
	s.Do(t, "POST", "auth/"+mount+"/config", map[string]any{"jwt_validation_pubkeys": []string{ours.pem}, "bound_issuer": "https://id.example.com"})
	s.Do(t, "POST", "auth/"+mount+"/role/sallyport", map[string]any{"role_type": "jwt", "user_claim": "sub",
		"bound_audiences": []string{"vault"}, "bound_subject": "sallyport", "token_policies": []string{policy}, "token_ttl": "1h"})
	claims := func(change func(map[string]any)) map[string]any {
		m := map[string]any{"iss": "https://id.example.com", "sub": "sallyport", "aud": "vault", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		change(m)
		return m
	}
	use := func(jwt string) { c.JWT = &vaultkv.JWT{Mount: mount, Role: "sallyport", JWTFile: file(t, "jwt", jwt)} }
	use(ours.jwt(t, claims(func(map[string]any) {})))
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(map[string]any){
		"another audience": func(m map[string]any) { m["aud"] = "elsewhere" },
		"another issuer":   func(m map[string]any) { m["iss"] = "https://other.example.com" },
		"another subject":  func(m map[string]any) { m["sub"] = "somebody" },
		"ended":            func(m map[string]any) { m["iat"], m["exp"] = 1, 2 },
	} {
		use(ours.jwt(t, claims(change)))
		refused(t, c, what)
	}
	use(other.jwt(t, claims(func(map[string]any) {})))
	refused(t, c, "another key")
	use(ours.jwt(t, claims(func(map[string]any) {})))
	c.JWT.Role = "nobody"
	refused(t, c, "another role")
}

// authority is one that signs clients' certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// client makes a certificate for a name, good until an end, and gives its files.
func (a authority) client(t *testing.T, name string, end time.Time) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})))
}

func TestARealCertificateSignsIn(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	ca, other := newAuthority(t), newAuthority(t)
	mount := s.Auth(t, "cert")
	s.Do(t, "POST", "auth/"+mount+"/certs/sallyport", map[string]any{"certificate": ca.pem, "allowed_common_names": []string{"sallyport"},
		"token_policies": []string{policy}, "token_ttl": "1h"})
	use := func(a authority, name string, end time.Time) {
		cert, key := a.client(t, name, end)
		c.Certificate = &vaultkv.Certificate{Mount: mount, Role: "sallyport", CertFile: cert, KeyFile: key}
	}
	use(ca, "sallyport", time.Now().Add(time.Hour))
	now := time.Now()
	b := open(t, c, func() time.Time { return now })
	if err := ask(b); err != nil {
		t.Fatal(err)
	}
	now = now.Add(50 * time.Minute) // a renewal has to show the same certificate
	if err := ask(b); err != nil {
		t.Error(err)
	}
	c.Certificate.Role = ""
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Errorf("without a role: %v", err)
	}
	use(ca, "somebody", time.Now().Add(time.Hour))
	refused(t, c, "another name")
	use(other, "sallyport", time.Now().Add(time.Hour))
	refused(t, c, "another authority")
	use(ca, "sallyport", time.Now().Add(-time.Hour))
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Refused || !strings.Contains(err.Error(), "certificate for the Vault server ended at") {
		t.Errorf("a certificate that has ended: %v", err)
	}
}

// A certificate that is renewed in its file is shown at the next sign-in, also while
// a connection is kept on which the one before was shown.
func TestARealSignInShowsTheCertificateOfNow(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	ca := newAuthority(t)
	mount := s.Auth(t, "cert")
	s.Do(t, "POST", "auth/"+mount+"/certs/sallyport", map[string]any{"certificate": ca.pem, "token_policies": []string{policy}, "token_ttl": "1h"})
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	cert, key := ca.client(t, "sallyport", end)
	c.Certificate = &vaultkv.Certificate{Mount: mount, Role: "sallyport", CertFile: cert, KeyFile: key}
	var ahead atomic.Int64
	b := open(t, c, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	must := func(when string) {
		t.Helper()
		if err := ask(b); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	must("with the first certificate")
	next, nextKey := ca.client(t, "sallyport", end.Add(time.Hour))
	for from, to := range map[string]string{next: cert, nextKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for time.Now().Before(end.Add(time.Second)) { // the connection is kept
		must("while the first certificate ends")
		<-time.After(50 * time.Millisecond)
	}
	s.Do(t, "PUT", "sys/leases/revoke-prefix/auth/"+mount+"/login", nil)
	ahead.Store(int64(time.Minute))
	must("with the second certificate")
}

// reviewer is the one route of a Kubernetes API server that Vault asks: a fake, which
// knows one token. What is real here is Vault's side of it, and ours.
func reviewer(t *testing.T, good *string) *httptest.Server {
	t.Helper()
	r := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Spec struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || r.Header.Get("Authorization") != "Bearer reviewer-of-the-test" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		status := map[string]any{"authenticated": false, "error": "invalid bearer token"}
		if in.Spec.Token == *good {
			status = map[string]any{"authenticated": true, "audiences": in.Spec.Audiences, "user": map[string]any{"username": "system:serviceaccount:integrations:sallyport", "uid": "u-1",
				"groups": []string{"system:serviceaccounts", "system:serviceaccounts:integrations"}}}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
	}))
	t.Cleanup(r.Close)
	return r
}

func TestARealKubernetesSignInAsksTheReviewer(t *testing.T) {
	s := vaulttest.Shared(t)
	c, policy := realCRM(t, s)
	account := newSigner(t)
	claims := accountClaims()
	good := account.jwt(t, claims)
	api := reviewer(t, &good)
	mount := s.Auth(t, "kubernetes")
	s.Do(t, "POST", "auth/"+mount+"/config", map[string]any{"kubernetes_host": api.URL, "token_reviewer_jwt": "reviewer-of-the-test",
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))})
	s.Do(t, "POST", "auth/"+mount+"/role/sallyport", map[string]any{"bound_service_account_names": []string{"sallyport"}, "bound_service_account_namespaces": []string{"integrations"},
		"audience": "vault", "token_policies": []string{policy}, "token_ttl": "1h"})
	use := func(jwt string) {
		c.Kubernetes = &vaultkv.JWT{Mount: mount, Role: "sallyport", JWTFile: file(t, "jwt", jwt)}
	}
	use(good)
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	use(account.jwt(t, claims)) // another signature: the reviewer does not know it
	refused(t, c, "a token that the cluster does not take")
	use(good)
	c.Kubernetes.Role = "nobody"
	refused(t, c, "another role")
	use(good)
	api.Close()
	refused(t, c, "nobody who reviews: Vault's answer is the same")
}
