package vaultkv_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// accessor is one as the server makes them: in a namespace it has the namespace's id.
func accessor(t *fakeToken) string { return of(t, (rand.Text() + rand.Text())[:24]) }

func of(t *fakeToken, id string) string {
	if t.home != "" {
		id += ".aBc123"
	}
	return id
}

func (f *fakeVault) left(t *fakeToken) int {
	if t.until.IsZero() {
		return 0
	}
	return int(t.until.Sub(f.now()).Round(time.Second).Seconds())
}

// policies are what the server says of a token.
func (t *fakeToken) policies() []string {
	if t.can == "root" {
		return []string{"root"}
	}
	return append([]string{"default"}, strings.Fields(t.can)...)
}

// auth is what a sign-in and a renewal say of a token.
func (f *fakeVault) auth(name string, t *fakeToken) map[string]any {
	return map[string]any{"client_token": name, "accessor": accessor(t), "policies": t.policies(), "token_policies": t.policies(), "metadata": t.meta,
		"lease_duration": f.left(t), "renewable": !t.until.IsZero(), "entity_id": of(t, uuid()), "token_type": "service", "orphan": true, "mfa_requirement": nil, "num_uses": 0}
}

func (f *fakeVault) renew(w http.ResponseWriter, name string, t *fakeToken) {
	if t.until.IsZero() {
		refuse(w, 400, "invalid lease ID")
		return
	}
	t.until = f.now().Add(f.ttl)
	if end := t.made.Add(f.most); f.most > 0 && t.until.After(end) {
		t.until = end
	}
	say(w, 200, f.whole("token", nil, f.auth(name, t)))
}

func (f *fakeVault) lookup(w http.ResponseWriter, name string, t *fakeToken) {
	data := map[string]any{"accessor": accessor(t), "creation_time": t.made.Unix(), "creation_ttl": 0, "display_name": "root", "entity_id": "", "expire_time": nil,
		"explicit_max_ttl": 0, "id": name, "meta": nil, "num_uses": 0, "orphan": true, "path": "auth/token/root", "policies": t.policies(), "ttl": f.left(t), "type": "service"}
	if !t.until.IsZero() {
		for k, v := range map[string]any{"creation_ttl": int(f.ttl.Seconds()), "display_name": t.from, "entity_id": of(t, uuid()), "expire_time": t.until.UTC(), "issue_time": t.made.UTC(),
			"meta": t.meta, "path": "auth/" + t.from + "/login", "renewable": true} {
			data[k] = v
		}
	}
	if t.home != "" {
		data["display_name"], data["namespace_path"] = t.home+"-auth-"+t.from, t.home+"/"
	}
	say(w, 200, f.whole("token", data, nil))
}

// login signs in. Who signed a JWT is told by its being known.
func (f *fakeVault) login(w http.ResponseWriter, r *http.Request, ns, path string) {
	f.logins++
	var in map[string]string
	_ = json.NewDecoder(r.Body).Decode(&in)
	kind := strings.TrimSuffix(strings.TrimPrefix(path, "auth/"), "/login")
	meta, status, why := map[string]any{"role": in["role"]}, 0, ""
	switch kind {
	case "approle":
		meta = map[string]any{"role_name": "sallyport"}
		if in["role_id"] != "role-of-the-fake" || in["secret_id"] != f.secret {
			status, why = 400, "invalid role or secret ID"
		}
	case "jwt":
		if in["role"] == "nobody" {
			status, why = 400, `role "nobody" could not be found`
		} else if f.jwts[in["jwt"]] != in["role"] {
			status, why = 400, "error validating token: error verifying token signature: no known key successfully validated the token signature"
		}
	case "kubernetes":
		for k, v := range map[string]any{"service_account_name": "sallyport", "service_account_namespace": "integrations", "service_account_secret_name": "", "service_account_uid": "u-1"} {
			meta[k] = v
		}
		if in["role"] == "nobody" {
			status, why = 400, `invalid role name "nobody"`
		} else if f.jwts[in["jwt"]] != in["role"] {
			status, why = 403, "permission denied"
		}
	case "cert":
		meta, status, why = f.certificate(r)
	default:
		status, why = 403, "permission denied"
	}
	if status != 0 {
		refuse(w, status, why)
		return
	}
	name := f.token("writer", kind, meta)
	f.tokens[name].home = ns
	say(w, 200, f.whole("", nil, f.auth(name, f.tokens[name])))
}

// certificate looks at the one that the client showed.
func (f *fakeVault) certificate(r *http.Request) (meta map[string]any, status int, why string) {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil, 400, "client certificate must be supplied"
	}
	c := r.TLS.PeerCertificates[0]
	if f.authority != nil {
		if _, err := c.Verify(x509.VerifyOptions{Roots: f.authority, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			return nil, 400, f.words("failed to match all constraints for this login certificate",
				"invalid certificate or no client certificate supplied; additionally got errors during verification: <nil>")
		}
	}
	f.shown = c.Subject.CommonName
	return map[string]any{"authority_key_id": colons(c.AuthorityKeyId), "subject_key_id": colons(c.SubjectKeyId), "cert_name": "sallyport",
		"common_name": c.Subject.CommonName, "serial_number": c.SerialNumber.String()}, 0, ""
}

// colons writes bytes as the server writes key ids.
func colons(b []byte) string {
	const digits = "0123456789abcdef"
	var out []string
	for _, x := range b {
		out = append(out, string([]byte{digits[x>>4], digits[x&15]}))
	}
	return strings.Join(out, ":")
}
