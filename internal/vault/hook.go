package vault

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
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
	return v.checkSigned(h, body, func(sign func(map[string]plain.Value) error) error {
		packed, fields, err := v.hookKey(t, secret)
		if err != nil {
			return err
		}
		defer plain.Wipe(packed)
		return sign(fields)
	})
}

// CheckBackendHook is CheckHook with the key of a backend's own file.
func (v *Vault) CheckBackendHook(name string, h http.Header, body []byte) error {
	return v.checkSigned(h, body, func(sign func(map[string]plain.Value) error) error {
		key, ok := v.cfg.Backends.HookKey(name)
		if !ok {
			return errUnsigned
		}
		defer plain.Wipe(key)
		return sign(map[string]plain.Value{"token": key})
	})
}

var errUnsigned error = fault.New(fault.Denied, "the message is not signed with the hook's key, or is not of now")

// checkSigned compares a message's signatures with the one that the key makes.
func (v *Vault) checkSigned(h http.Header, body []byte, withKey func(sign func(map[string]plain.Value) error) error) error {
	at, err := strconv.ParseInt(h.Get(httpcred.HeaderTimestamp), 10, 64)
	if now := v.cfg.Now(); err != nil || time.Unix(at, 0).Before(now.Add(-hookAge)) || time.Unix(at, 0).After(now.Add(hookAge)) {
		return errUnsigned
	}
	again := &http.Request{Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	again.Header.Set(httpcred.HeaderID, h.Get(httpcred.HeaderID))
	again.Header.Set(httpcred.HeaderTimestamp, h.Get(httpcred.HeaderTimestamp))
	err = withKey(func(fields map[string]plain.Value) error {
		sign, err := httpcred.Inject(resource.Auth{Scheme: resource.SchemeSignature}, resource.Origin{}, fields)
		if err != nil {
			return err
		}
		return sign(again)
	})
	if err != nil {
		asLong(again)
		return errUnsigned
	}
	for given := range strings.FieldsSeq(h.Get(httpcred.HeaderSignature)) {
		if hmac.Equal([]byte(given), []byte(again.Header.Get(httpcred.HeaderSignature))) {
			return nil
		}
	}
	return errUnsigned
}

// asLong signs a message with a key of nobody's: how long an answer takes, for a long
// message, would tell who has a key from who has none.
func asLong(r *http.Request) {
	var none [32]byte
	decoy := map[string]plain.Value{"token": plain.New([]byte("whsec_" + base64.StdEncoding.EncodeToString(none[:])))}
	if sign, err := httpcred.Inject(resource.Auth{Scheme: resource.SchemeSignature}, resource.Origin{}, decoy); err == nil {
		_ = sign(r) // nothing is compared with it
	}
}

// hookKey decrypts the active version of a signing key. It goes nowhere, so the
// origins of its usage scope narrow nothing; the places in a request do.
func (v *Vault) hookKey(t ident.Tenant, secret string) (plain.Value, map[string]plain.Value, error) {
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	s, err := v.open()
	if err != nil {
		return plain.Value{}, nil, err
	}
	ten, e, ver, err := s.find(t, Ref{Name: secret})
	if err != nil {
		return plain.Value{}, nil, err
	}
	if sch := ver.Scope.Schemes; ver.Scope.Expired(v.cfg.Now()) || len(sch) > 0 && !slices.Contains(sch, resource.SchemeSignature) {
		return plain.Value{}, nil, fault.New(fault.Denied, "the key is not for signatures, or has expired")
	}
	if err := ver.inStore(secret); err != nil {
		return plain.Value{}, nil, err
	}
	return v.decrypt(ten, e, ver.Version)
}
