package vault

import (
	"bytes"
	"crypto/hmac"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// hookAge is how old or how far ahead a signed message may be.
const hookAge = 5 * time.Minute

// CheckHook says whether a message was signed with a Secret's signing key
// (Standard Webhooks) and is of now. Denied: it was not, in one sentence for all
// that can be wrong with it.
func (v *Vault) CheckHook(t ident.Tenant, secret string, h http.Header, body []byte) error {
	bad := fault.New(fault.Denied, "the message is not signed with the hook's key, or is not of now")
	at, err := strconv.ParseInt(h.Get(httpcred.HeaderTimestamp), 10, 64)
	if now := v.cfg.Now(); err != nil || time.Unix(at, 0).Before(now.Add(-hookAge)) || time.Unix(at, 0).After(now.Add(hookAge)) {
		return bad
	}
	taken, err := v.take(DoorSpec{Tenant: t, Secret: secret, Auth: resource.Auth{Scheme: resource.SchemeSignature}})
	if err != nil {
		return bad
	}
	defer plain.Wipe(taken.packed)
	again := &http.Request{Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	again.Header.Set(httpcred.HeaderID, h.Get(httpcred.HeaderID))
	again.Header.Set(httpcred.HeaderTimestamp, h.Get(httpcred.HeaderTimestamp))
	sign, err := httpcred.Inject(resource.Auth{Scheme: resource.SchemeSignature}, resource.Origin{}, taken.fields)
	if err != nil || sign(again) != nil {
		return bad
	}
	for given := range strings.FieldsSeq(h.Get(httpcred.HeaderSignature)) {
		if hmac.Equal([]byte(given), []byte(again.Header.Get(httpcred.HeaderSignature))) {
			return nil
		}
	}
	return bad
}
