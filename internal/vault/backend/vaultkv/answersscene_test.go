package vaultkv_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vaulttest"
)

// clientsOf are those that trust one authority and show no certificate, a good one,
// or one that nobody knows.
func clientsOf(t *testing.T, caFile string, good authority) map[string]*http.Client {
	t.Helper()
	b, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	out := map[string]*http.Client{}
	for name, a := range map[string]authority{"": {}, "good": good, "stranger": newAuthority(t)} {
		conf := &tls.Config{RootCAs: roots}
		if a.key != nil {
			cert, key := a.client(t, "sallyport", time.Now().Add(time.Hour))
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			conf.Certificates = []tls.Certificate{pair}
		}
		tr := &http.Transport{TLSClientConfig: conf}
		t.Cleanup(tr.CloseIdleConnections)
		out[name] = &http.Client{Transport: tr, Timeout: 30 * time.Second}
	}
	return out
}

// accountClaims are of a service account's token.
func accountClaims() map[string]any {
	return map[string]any{"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:integrations:sallyport", "aud": []string{"vault"},
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"kubernetes.io": map[string]any{"namespace": "integrations", "serviceaccount": map[string]any{"name": "sallyport", "uid": "u-1"}}}
}

func sceneOfReal(t *testing.T, s *vaulttest.Server) scene {
	t.Helper()
	for mount, engine := range map[string]int{"secret": 2, "kv": 1} {
		s.KVAt(t, mount, engine)
	}
	put(t, s, 2, "secret", "sallyport/crm", map[string]string{"password": "one"})
	put(t, s, 2, "secret", "sallyport/crm", map[string]string{"password": "two", "user": "svc"})
	for _, path := range []string{"deleted", "destroyed"} {
		put(t, s, 2, "secret", "sallyport/"+path, map[string]string{"password": "x"})
	}
	remove(t, s, 2, "secret", "sallyport/deleted")
	s.Do(t, "POST", "secret/destroy/sallyport/destroyed", map[string]any{"versions": []int{1}})
	s.Do(t, "POST", "secret/metadata/sallyport/later", map[string]any{"delete_version_after": "1h"})
	put(t, s, 2, "secret", "sallyport/later", map[string]string{"password": "x"})
	put(t, s, 1, "kv", "sallyport/crm", map[string]string{"password": "one"})

	s.Do(t, "PUT", "sys/policies/acl/writer", map[string]any{"policy": policy(2, "secret")})
	role := map[string]any{"token_policies": []string{"writer"}, "token_ttl": "1h", "token_max_ttl": "24h"}
	with := func(more map[string]any) map[string]any {
		for k, v := range role {
			more[k] = v
		}
		return more
	}
	for _, kind := range []string{"approle", "jwt", "kubernetes", "cert"} {
		s.Do(t, "POST", "sys/auth/"+kind, map[string]any{"type": kind})
	}
	words := map[string]string{"root": s.Token}
	s.Do(t, "POST", "auth/approle/role/sallyport", with(map[string]any{}))
	words["role"], _ = s.Do(t, "GET", "auth/approle/role/sallyport/role-id", nil)["role_id"].(string)
	words["secret"], _ = s.Do(t, "POST", "auth/approle/role/sallyport/secret-id", nil)["secret_id"].(string)

	issuer, other := newSigner(t), newSigner(t)
	s.Do(t, "POST", "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{issuer.pem}})
	s.Do(t, "POST", "auth/jwt/role/sallyport", with(map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}}))
	claims := map[string]any{"sub": "sallyport", "aud": "vault", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	words["jwt"], words["forged"] = issuer.jwt(t, claims), other.jwt(t, claims)

	account := issuer.jwt(t, accountClaims())
	words["account"], words["stranger"] = account, other.jwt(t, accountClaims())
	api := reviewer(t, &account)
	s.Do(t, "POST", "auth/kubernetes/config", map[string]any{"kubernetes_host": api.URL, "token_reviewer_jwt": "reviewer-of-the-test",
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))})
	s.Do(t, "POST", "auth/kubernetes/role/sallyport", with(map[string]any{"bound_service_account_names": []string{"sallyport"},
		"bound_service_account_namespaces": []string{"integrations"}, "audience": "vault"}))
	ca := newAuthority(t)
	s.Do(t, "POST", "auth/cert/certs/sallyport", with(map[string]any{"certificate": ca.pem, "allowed_common_names": []string{"sallyport"}}))

	enter := func() string {
		token, _ := s.Do(t, "POST", "auth/approle/login", map[string]string{"role_id": words["role"], "secret_id": words["secret"]})["client_token"].(string)
		return token
	}
	words["writer"], words["revoked"], words["none"] = enter(), enter(), s.TokenOf(t, []string{"default"}, nil)
	s.Do(t, "POST", "auth/token/revoke", map[string]any{"token": words["revoked"]})
	if s.Name == vaulttest.OpenBao {
		teamOfReal(t, s, words, with)
	}
	return scene{address: s.Address, clients: clientsOf(t, s.CAFile, ca), words: words, seal: func() { s.Seal(t) }}
}

// teamOfReal makes the namespaces, and an AppRole in one.
func teamOfReal(t *testing.T, s *vaulttest.Server, words map[string]string, with func(map[string]any) map[string]any) {
	t.Helper()
	for _, name := range []string{"team", "other"} {
		s.Do(t, "POST", "sys/namespaces/"+name, nil)
	}
	team := *s
	team.Namespace = "team"
	team.KVAt(t, "secret", 2)
	put(t, &team, 2, "secret", "sallyport/crm", map[string]string{"password": "of the team"})
	team.Do(t, "PUT", "sys/policies/acl/writer", map[string]any{"policy": policy(2, "secret")})
	team.Do(t, "POST", "sys/auth/approle", map[string]any{"type": "approle"})
	team.Do(t, "POST", "auth/approle/role/sallyport", with(map[string]any{}))
	words["teamrole"], _ = team.Do(t, "GET", "auth/approle/role/sallyport/role-id", nil)["role_id"].(string)
	words["teamsecret"], _ = team.Do(t, "POST", "auth/approle/role/sallyport/secret-id", nil)["secret_id"].(string)
	words["teams"], _ = team.Do(t, "POST", "auth/approle/login", map[string]string{"role_id": words["teamrole"], "secret_id": words["teamsecret"]})["client_token"].(string)
}

func sceneOfFake(t *testing.T, name string) scene {
	t.Helper()
	f, s := startVault(t)
	f.bao = name == vaulttest.OpenBao
	f.ttl = time.Hour
	good := newAuthority(t)
	f.authority = x509.NewCertPool()
	f.authority.AddCert(good.cert)
	f.first["/kv"]["sallyport/crm"] = map[string]string{"password": "one"}
	x := map[string]string{"password": "x"}
	for path, versions := range map[string][]*kept{
		"crm":       {{data: map[string]string{"password": "one"}}, {data: map[string]string{"password": "two", "user": "svc"}}},
		"deleted":   {{data: x, deleted: time.Now()}},
		"destroyed": {{data: x, destroyed: true}},
		"later":     {{data: x, deleted: time.Now().Add(time.Hour)}},
	} {
		f.second["/secret"]["sallyport/"+path] = versions
	}
	f.jwts["jwt"], f.jwts["account"] = "sallyport", "sallyport"
	words := map[string]string{"role": "role-of-the-fake", "secret": f.secret, "jwt": "jwt", "forged": "forged", "account": "account", "stranger": "stranger",
		"writer": f.token("writer", "approle", map[string]any{"role_name": "sallyport"}), "none": f.token("", "approle", nil), "revoked": "hvs.revoked", "root": f.token("root", "", nil)}
	f.tokens[words["root"]].until = time.Time{}
	if f.bao {
		f.second["team/secret"]["sallyport/crm"], f.second["other/secret"] = []*kept{{data: map[string]string{"password": "of the team"}}}, map[string][]*kept{}
		words["teamrole"], words["teamsecret"], words["teams"] = words["role"], words["secret"], f.token("writer", "approle", map[string]any{"role_name": "sallyport"})
		f.tokens[words["teams"]].home = "team"
	}
	return scene{address: s.URL, clients: clientsOf(t, ca(t, s), good), words: words, seal: func() { f.fault = backendtest.Sealed }}
}
