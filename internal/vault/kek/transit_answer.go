package kek

import (
	"encoding/json"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
)

// transitAnswer is what is read of an answer; servers send more beside it.
type transitAnswer struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  []byte `json:"plaintext"` // base64, decoded without a string between
	} `json:"data"`
	Auth struct {
		Token string `json:"client_token"`
	} `json:"auth"`
}

func parseTransit(raw []byte) (a transitAnswer, err error) {
	plain.Do(func() { err = json.Unmarshal(raw, &a) })
	if err != nil {
		clear(a.Data.Plaintext)
		return transitAnswer{}, fault.New(fault.Invalid, "the transit server's answer is not the JSON that is expected")
	}
	return a, nil
}

func transitCiphertext(raw []byte) ([]byte, error) {
	a, err := parseTransit(raw)
	if err != nil {
		return nil, err
	}
	clear(a.Data.Plaintext)
	if !transitBox.MatchString(a.Data.Ciphertext) {
		return nil, fault.New(fault.Invalid, "the transit server's answer has no ciphertext of the form vault:v1:...")
	}
	return []byte(a.Data.Ciphertext), nil
}

func transitPlaintext(raw []byte) (plain.Value, error) {
	a, err := parseTransit(raw)
	if err != nil {
		return plain.Value{}, err
	}
	if len(a.Data.Plaintext) != box.KeySize {
		clear(a.Data.Plaintext)
		return plain.Value{}, fault.New(fault.Invalid, "the transit server's answer is not a key of 32 bytes")
	}
	return plain.New(a.Data.Plaintext), nil
}

func transitToken(raw []byte) ([]byte, error) {
	a, err := parseTransit(raw)
	if err != nil {
		return nil, err
	}
	clear(a.Data.Plaintext)
	if token := []byte(a.Auth.Token); safe.Header(token) {
		return token, nil
	}
	return nil, fault.New(fault.Invalid, "the transit server's answer to the sign-in has no token")
}
