package gcpsm

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bearer"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// maxKey is the most bytes of a service account's key.
const maxKey = 64 << 10

// withKey signs in as a service account: an assertion that its key signs, for a token.
func withKey(ctx context.Context, client *http.Client, file string, now time.Time) (rest.Answer, error) {
	none := func(msg string) (rest.Answer, error) {
		return rest.Answer{}, backend.Fail(backend.Refused, "the service account's key "+msg)
	}
	raw, err := safe.Secret(file, maxKey)
	defer clear(raw)
	if err != nil {
		return rest.Answer{}, backend.FailOf(backend.Refused, "the service account's key can't be used", err)
	}
	m, err := object.Members(raw)
	if err != nil || object.Word(m["type"]) != "service_account" {
		return none("is not the JSON of one")
	}
	at, ok := strings.CutSuffix(object.Word(m["token_uri"]), "/token")
	if _, _, err := rest.Address("the key's token_uri", at); err != nil || !ok {
		return none("names no token endpoint")
	}
	text, _ := object.Text(m["private_key"])
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil {
		return none("has no private key in PEM")
	}
	defer clear(block.Bytes)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, isRSA := parsed.(*rsa.PrivateKey)
	if err != nil || !isRSA {
		return none("has no RSA key in PKCS #8")
	}
	assertion, err := sign(key, object.Word(m["client_email"]), object.Word(m["private_key_id"]), at+"/token", now)
	if err != nil {
		return none("does not sign")
	}
	return bearer.Form(ctx, client, "Google's token endpoint", at+"/token",
		url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}})
}

// sign makes the assertion, RS256, good for ten minutes.
func sign(key *rsa.PrivateKey, email, id, audience string, now time.Time) (string, error) {
	part := func(v map[string]any) string {
		b, _ := json.Marshal(v) // texts and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]any{"alg": "RS256", "typ": "JWT", "kid": id}) + "." + part(map[string]any{
		"iss": email, "scope": "https://www.googleapis.com/auth/cloud-platform", "aud": audience, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	sum := sha256.Sum256([]byte(text))
	b, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(b), err
}
