package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/issuer"
	"sallyport.dev/internal/resource"
)

const (
	home = "https://sallyport.example.com/mcp"
	iss  = "https://login.example.com/realms/agents"
)

var (
	now    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rsaKey = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey  = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks lists public keys by their ids.
func jwks(keys map[string]any) json.RawMessage {
	var set jose.JSONWebKeySet
	for id, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: id, Use: "sig"})
	}
	return must(json.Marshal(set))
}

func keys() json.RawMessage {
	return jwks(map[string]any{"r1": &rsaKey.PublicKey, "e1": &ecKey.PublicKey})
}

// claims of a good token.
func claims() map[string]any {
	return map[string]any{"iss": iss, "sub": "agent-7", "aud": home, "client_id": "agents", "iat": now.Unix() - 10, "exp": now.Unix() + 300}
}

func header() map[string]any { return map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": "r1"} }

// rawToken signs exactly these bytes with the RSA key.
func rawToken(head, payload string) string {
	input := b64([]byte(head)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	return input + "." + b64(must(rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, sum[:])))
}

func signed(head, body map[string]any) string {
	return rawToken(string(must(json.Marshal(head))), string(must(json.Marshal(body))))
}

func worker(name string, change func(*resource.WorkerJWT)) *resource.Worker {
	j := &resource.WorkerJWT{Issuer: iss, Subject: "agent-7", Claims: map[string]string{"client_id": "agents"}, JWKS: keys()}
	if change != nil {
		change(j)
	}
	return &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: name}, Owner: "ann", JWT: j}
}

func verify(t *testing.T, token string, ws ...*resource.Worker) (issuer.Shown, error) {
	t.Helper()
	v := issuer.New(dial.Options{}, func() time.Time { return now })
	return v.Verify(t.Context(), token, ws, home)
}

func TestATokenOfTheIssuerStandsForItsWorkerOffline(t *testing.T) {
	got, err := verify(t, signed(header(), claims()), worker("other", func(j *resource.WorkerJWT) { j.Subject = "agent-8" }), worker("night", nil))
	if err != nil || got.Worker != "night" || got.Subject != "agent-7" || got.Issuer != iss || !got.Expires.Equal(now.Add(5*time.Minute)) {
		t.Errorf("%+v, %v", got, err)
	}
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: ecKey, KeyID: "e1"}}, nil))
	o := must(s.Sign(must(json.Marshal(claims()))))
	if got, err = verify(t, must(o.CompactSerialize()), worker("night", nil)); err != nil || got.Worker != "night" {
		t.Errorf("ES256: %+v, %v", got, err)
	}
}

// Each of these is a token that somebody could make, or a Worker that it is not for.
func TestTokensThatStandForNobody(t *testing.T) {
	but := func(m map[string]any, k string, v any) map[string]any {
		m = maps.Clone(m)
		if m[k] = v; v == nil {
			delete(m, k)
		}
		return m
	}
	unsigned := func(h map[string]any) string {
		return b64(must(json.Marshal(h))) + "." + b64(must(json.Marshal(claims()))) + "."
	}
	// The public key's own bytes, as every library would read them from a file.
	hs := func(key []byte) string {
		in := b64([]byte(`{"alg":"HS256","typ":"JWT","kid":"r1"}`)) + "." + b64(must(json.Marshal(claims())))
		m := hmac.New(sha256.New, key)
		m.Write([]byte(in))
		return in + "." + b64(m.Sum(nil))
	}
	der := must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey))
	mine := must(rsa.GenerateKey(rand.Reader, 2048))
	forged := func(extra map[string]any) string { // signed by the attacker's key, which the header brings
		h := header()
		maps.Copy(h, extra)
		in := b64(must(json.Marshal(h))) + "." + b64(must(json.Marshal(claims())))
		sum := sha256.Sum256([]byte(in))
		return in + "." + b64(must(rsa.SignPKCS1v15(nil, mine, crypto.SHA256, sum[:])))
	}
	good := signed(header(), claims())
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"alg none":                     unsigned(map[string]any{"alg": "none", "typ": "JWT"}),
		"alg None, with a signature":   strings.Join([]string{b64([]byte(`{"alg":"None"}`)), parts[1], parts[2]}, "."),
		"HS256 with the public key":    hs(der),
		"HS256 with its PEM":           hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HS256 with the modulus":       hs(rsaKey.N.Bytes()),
		"HS256 with nothing":           hs(nil),
		"another audience":             signed(header(), but(claims(), "aud", "https://other.example.com/mcp")),
		"a prefix of the audience":     signed(header(), but(claims(), "aud", "https://sallyport.example.com")),
		"no audience":                  signed(header(), but(claims(), "aud", nil)),
		"an audience that is a number": signed(header(), but(claims(), "aud", 7)),
		"another issuer":               signed(header(), but(claims(), "iss", iss+"/")),
		"no issuer":                    signed(header(), but(claims(), "iss", nil)),
		"another subject":              signed(header(), but(claims(), "sub", "agent-70")),
		"a subject that is a list":     signed(header(), but(claims(), "sub", []string{"agent-7"})),
		"another client":               signed(header(), but(claims(), "client_id", "agents2")),
		"no client":                    signed(header(), but(claims(), "client_id", nil)),
		"expired":                      signed(header(), but(claims(), "exp", now.Unix()-61)),
		"no end":                       signed(header(), but(claims(), "exp", nil)),
		"an end as text":               signed(header(), but(claims(), "exp", fmt.Sprint(now.Unix()+300))),
		"an end in two days":           signed(header(), but(claims(), "exp", now.Unix()+2*86400)),
		"an end out of range":          signed(header(), but(claims(), "exp", 1e300)),
		"not begun":                    signed(header(), but(claims(), "nbf", now.Unix()+120)),
		"made in the future":           signed(header(), but(claims(), "iat", now.Unix()+120)),
		"a beginning as text":          signed(header(), but(claims(), "nbf", "soon")),
		"a log-out token":              signed(but(header(), "typ", "logout+jwt"), claims()),
		"a proof":                      signed(but(header(), "typ", "dpop+jwt"), claims()),
		"a type that is a number":      signed(but(header(), "typ", 1), claims()),
		"a kid of nobody":              signed(but(header(), "kid", "r2"), claims()),
		"a kid of another key":         signed(but(header(), "kid", "e1"), claims()),
		"a kid that is a path":         signed(but(header(), "kid", "../../dev/null"), claims()),
		"a kid that is SQL":            signed(but(header(), "kid", "r1' OR '1'='1"), claims()),
		"a kid that is a number":       signed(but(header(), "kid", 1), claims()),
		"an empty kid":                 signed(but(header(), "kid", ""), claims()),
		"a kid of a kilobyte":          signed(but(header(), "kid", strings.Repeat("k", 1024)), claims()),
		"a critical header":            signed(but(header(), "crit", []string{"b64"}), claims()),
		"an own jwk":                   forged(map[string]any{"jwk": jose.JSONWebKey{Key: &mine.PublicKey}}),
		"an own jku":                   forged(map[string]any{"jku": "https://attacker.example/jwks"}),
		"an own x5u":                   forged(map[string]any{"x5u": "https://attacker.example/cert"}),
		"an own jwk and no kid":        strings.Replace(forged(map[string]any{"jwk": jose.JSONWebKey{Key: &mine.PublicKey}}), "cjEi", "cjIi", 1),
		"PS256 with an RS256 sign":     signed(but(header(), "alg", "PS256"), claims()),
		"ES256 of an RSA key":          signed(but(header(), "alg", "ES256"), claims()),
		"two subjects":                 rawToken(`{"alg":"RS256","kid":"r1"}`, fmt.Sprintf(`{"iss":%q,"sub":"x","sub":"agent-7","aud":%q,"client_id":"agents","exp":%d}`, iss, home, now.Unix()+60)),
		"two subjects by an escape":    rawToken(`{"alg":"RS256","kid":"r1"}`, fmt.Sprintf(`{"iss":%q,"s\u0075b":"x","sub":"agent-7","aud":%q,"client_id":"agents","exp":%d}`, iss, home, now.Unix()+60)),
		"two algorithms":               rawToken(`{"alg":"none","alg":"RS256","kid":"r1"}`, string(must(json.Marshal(claims())))),
		"claims in another case":       rawToken(`{"alg":"RS256","kid":"r1"}`, fmt.Sprintf(`{"iss":%q,"SUB":"agent-7","aud":%q,"client_id":"agents","exp":%d}`, iss, home, now.Unix()+60)),
		"no JSON":                      rawToken(`{"alg":"RS256","kid":"r1"}`, "agent-7"),
		"another body":                 parts[0] + "." + b64(must(json.Marshal(but(claims(), "extra", 1)))) + "." + parts[2],
		"a part more":                  good + ".x",
		"a part less":                  parts[0] + "." + parts[1],
		"JSON serialisation":           fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"white space":                  good + " ",
		"padding":                      parts[0] + "." + parts[1] + "=." + parts[2],
		"a huge one":                   signed(header(), but(claims(), "x", strings.Repeat("x", issuer.MaxToken))),
		"nothing":                      "",
		"dots":                         "..",
	} {
		if got, err := verify(t, token, worker("night", nil)); !fault.Is(err, fault.Unauthenticated) || got.Worker != "" || err.Error() != "the token is not valid, or not any more" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := verify(t, good, worker("night", nil)); err != nil {
		t.Fatalf("and the good one: %v", err)
	}
}

// What is a token of nobody for each of these is a good one for the usual Worker.
func TestAWorkerThatATokenDoesNotName(t *testing.T) {
	token := signed(header(), claims())
	for name, ws := range map[string][]*resource.Worker{
		"none":                {},
		"one without issuer":  {{Owner: "ann"}},
		"two":                 {worker("a", nil), worker("b", nil)},
		"two, one looser":     {worker("a", nil), worker("b", func(j *resource.WorkerJWT) { j.Claims = nil })},
		"any of the issuer's": {worker("a", func(j *resource.WorkerJWT) { j.Subject, j.Claims = "", nil })},
		"another audience":    {worker("a", func(j *resource.WorkerJWT) { j.Audience = "api://sallyport" })},
		"an empty claim":      {worker("a", func(j *resource.WorkerJWT) { j.Claims = map[string]string{"nothing": ""} })},
		"other keys": {worker("a", func(j *resource.WorkerJWT) {
			j.JWKS = jwks(map[string]any{"r1": &must(rsa.GenerateKey(rand.Reader, 2048)).PublicKey})
		})},
		"weak keys": {worker("a", func(j *resource.WorkerJWT) {
			j.JWKS = jwks(map[string]any{"r1": &must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey})
		})},
		"a key for another use": {worker("a", func(j *resource.WorkerJWT) {
			j.JWKS = must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsaKey.PublicKey, KeyID: "r1", Use: "enc"}}}))
		})},
		"a key for another algorithm": {worker("a", func(j *resource.WorkerJWT) {
			j.JWKS = must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsaKey.PublicKey, KeyID: "r1", Algorithm: "RS512"}}}))
		})},
	} {
		if got, err := verify(t, token, ws...); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	v := issuer.New(dial.Options{}, func() time.Time { return now })
	if _, err := v.Verify(t.Context(), token, []*resource.Worker{worker("a", nil)}, ""); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a server without an address of its own: %v", err)
	}
}

func TestKeysInAResourceArePublicAndOfUse(t *testing.T) {
	for name, b := range map[string]string{
		"private": string(must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaKey, KeyID: "r1"}}}))),
		"shared":  `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"r1"}]}`,
		"none":    `{"keys":[]}`,
		"no list": `[]`,
		"twice":   `{"keys":[],"keys":[]}`,
	} {
		if err := issuer.CheckKeys(json.RawMessage(b)); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := issuer.CheckKeys(keys()); err != nil {
		t.Error(err)
	}
}

func TestTheMetadataListsIssuersOfThisServersTokens(t *testing.T) {
	off := worker("off", func(j *resource.WorkerJWT) { j.Issuer = "https://off.example" })
	off.Disabled = true
	m := issuer.MetadataOf(home, []*resource.Worker{worker("b", func(j *resource.WorkerJWT) { j.Issuer = "https://z.example" }), worker("a", nil), worker("c", nil),
		worker("d", func(j *resource.WorkerJWT) { j.Issuer, j.Audience = "https://y.example", "api://other" }), off, {Owner: "ann"}})
	got := string(must(json.Marshal(m)))
	want := `{"resource":"https://sallyport.example.com/mcp","authorization_servers":["` + iss + `","https://z.example"],"bearer_methods_supported":["header"],"resource_name":"Sallyport"}`
	if got != want {
		t.Errorf("%s", got)
	}
}

// Whatever comes is refused with one text, or stands for the one Worker.
func FuzzToken(f *testing.F) {
	f.Add(signed(header(), claims()))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(b64([]byte(`{"alg":"RS256","crit":[]}`)) + ".e30.AA")
	f.Add("...")
	v := issuer.New(dial.Options{}, func() time.Time { return now })
	ws := []*resource.Worker{worker("night", nil)}
	good := signed(header(), claims())
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(t.Context(), token, ws, home)
		if err == nil && token != good && !strings.HasPrefix(token, strings.Join(strings.Split(good, ".")[:2], ".")) {
			t.Fatalf("%q stands for %+v", token, got)
		}
		if err != nil && !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// A JWKS of anybody's never gives a key that can sign.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(keys()))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := issuer.CheckKeys(b); err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatal(err)
		}
	})
}
