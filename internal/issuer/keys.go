package issuer

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

const (
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192 // more only takes time
)

// keySet reads a JWKS. What can't check a signature is left out: encryption keys,
// and kinds that are not known. problem says what a set must not have at all.
func keySet(b []byte) (keys []jose.JSONWebKey, problem, err error) {
	c, err := intent.Canonical(b)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the keys are not one JSON document without repeated members")
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(c, &doc) != nil || len(doc.Keys) > maxKeys {
		return nil, nil, fault.Newf(fault.Invalid, "the keys are not a JWKS of at most %d", maxKeys)
	}
	for _, raw := range doc.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil {
			continue
		}
		switch {
		case !k.IsPublic():
			problem = fault.New(fault.Invalid, "a key of the JWKS is private or shared; it would let everybody who sees the resource make tokens").
				WithHint("leave the members d, p, q and k out, and replace that key at the issuer")
		case k.Use == "enc":
		case usable(k):
			keys = append(keys, k)
		}
	}
	return keys, problem, nil
}

func usable(k jose.JSONWebKey) bool {
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		return p.N.BitLen() >= minRSABits && p.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return curveOf(p) != ""
	case ed25519.PublicKey:
		return true
	}
	return false
}

// curveOf is the one algorithm of an elliptic key.
func curveOf(p *ecdsa.PublicKey) jose.SignatureAlgorithm {
	switch p.Curve {
	case elliptic.P256():
		return jose.ES256
	case elliptic.P384():
		return jose.ES384
	case elliptic.P521():
		return jose.ES512
	}
	return ""
}

// fitsAlgorithm says whether a key is for an algorithm: of its kind, of its curve,
// and the one that the key names if it names one.
func fitsAlgorithm(k jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(alg) {
		return false
	}
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS")
	case *ecdsa.PublicKey:
		return curveOf(p) == alg
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

// byID are the keys that a token's kid names; without one, all, if there are few.
func byID(keys []jose.JSONWebKey, kid string) (out []jose.JSONWebKey) {
	if kid == "" {
		if len(keys) > maxNameless {
			return nil
		}
		return keys
	}
	for _, k := range keys {
		if k.KeyID == kid && len(out) < maxNameless {
			out = append(out, k)
		}
	}
	return out
}

// maxNameless is how many keys are tried for one token.
const maxNameless = 4

// CheckKeys says whether a JWKS that somebody wrote into a resource is of use. The
// error is of kind Invalid.
func CheckKeys(b json.RawMessage) error {
	keys, problem, err := keySet(b)
	switch {
	case err != nil:
		return err
	case problem != nil:
		return problem
	case len(keys) == 0:
		return fault.Newf(fault.Invalid, "no key of the JWKS can check a signature").
			WithHint("it takes RSA of %d bits or more, P-256, P-384, P-521 or Ed25519", minRSABits)
	}
	return nil
}
