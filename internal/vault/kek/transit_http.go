package kek

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/rest"
)

// transitTimeout is for signing in and one operation together.
var transitTimeout = 20 * time.Second

// post sends one request and gives the answer's bytes. op is "encrypt",
// "decrypt" or "sign-in".
func (t *Transit) post(ctx context.Context, op, path string, token, body []byte) ([]byte, error) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Vault-Request": {"true"}} // an agent between us and the server may insist on it
	if t.cfg.Namespace != "" {
		h.Set("X-Vault-Namespace", t.cfg.Namespace)
	}
	if token != nil {
		h.Set("X-Vault-Token", string(token))
	}
	a, err := rest.Do(ctx, t.http, "the transit server", rest.Request{Method: http.MethodPost, URL: t.server + "/v1/" + path, Header: h, Body: body})
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		defer clear(a.Body)
		return nil, t.refused(op, a.Status, a.Body)
	}
	return a.Body, nil
}

// refused tells apart what the server says, by its status and the words of its
// own source. None of its text is repeated: it could hold what it decrypted.
func (t *Transit) refused(op string, status int, raw []byte) error {
	var answer struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(raw, &answer) // without its words, the status says enough
	says := strings.ToLower(strings.Join(answer.Errors, "\n"))
	about := func(kind fault.Kind, msg string) *fault.Error {
		return fault.Newf(kind, "the transit server %s (status %d)", msg, status)
	}
	has := func(words string) bool { return strings.Contains(says, words) }
	switch {
	case status == http.StatusForbidden && op == "sign-in" || status == http.StatusBadRequest && op == "sign-in":
		return about(fault.Denied, "refuses the role id or the secret id").
			WithHint("check roleId, and make a new secret id for secretIdFile")
	case status == http.StatusForbidden:
		return about(fault.Denied, "does not let the token "+op+" with the key "+t.id()).
			WithHint(`the token has to be valid, and its policy needs: path "%s/%s/%s" { capabilities = ["update"] }, for encrypt and decrypt`, t.cfg.Mount, op, t.cfg.Key)
	case status == http.StatusNotFound, status == http.StatusBadRequest && has("encryption key not found"):
		return about(fault.Invalid, "has no transit key "+t.id()).
			WithHint("check mount, key and namespace; a key that was deleted takes what it sealed with it: use another seal or a recovery key")
	case status == http.StatusBadRequest && (has("non-aead") || has("not supported") || has("derivation")):
		return about(fault.Invalid, "has a key "+t.id()+" of a type that can't bind associated data").
			WithHint("make one of type aes256-gcm96 or chacha20-poly1305, not derived")
	case status == http.StatusBadRequest && has("too old"):
		return about(fault.Denied, "does not decrypt with the key's old version any more").
			WithHint("lower the key's min_decryption_version, start, and seal with the new version: sallyport seal rotate")
	case status == http.StatusBadRequest && op == "decrypt":
		return about(fault.Denied, "does not decrypt it: it was sealed by another key, or for another vault")
	case status == http.StatusServiceUnavailable && has("sealed"):
		return about(fault.Unavailable, "is sealed itself").WithHint("unseal it, then start again")
	case status >= 300 && status < 400:
		return about(fault.Unavailable, "points to another server, and the token is not sent there").
			WithHint("name the active server's address")
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusPreconditionFailed:
		return about(fault.Invalid, "does not take the request")
	}
	return about(fault.Unavailable, "can't answer now").WithHint("it may be on standby, starting, or over its limits")
}
