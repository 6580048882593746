// Package sigv4 signs requests to AWS, Signature Version 4, as far as a JSON or form
// service needs it: POST and GET of a path that nothing has to be escaped in, no
// query, all headers signed.
//
// # Security
//
// The secret key is in the derivation alone, and in no header. The signature is of the
// whole body, and good for its host, region, service and a few minutes.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/vault/internal/plain"
)

// Key signs. Session is empty where the key lasts.
type Key struct {
	ID      string
	Secret  plain.Value
	Session plain.Value
}

// Scope is what a signature is good for.
type Scope struct {
	Region, Service string
	At              time.Time
}

const algorithm = "AWS4-HMAC-SHA256"

// Sign adds the headers X-Amz-Date, X-Amz-Security-Token and Authorization to h, which
// has every other header that is sent but Host.
func Sign(k Key, s Scope, method, host, path string, h http.Header, body []byte) {
	at := s.At.UTC().Format("20060102T150405Z")
	h.Set("X-Amz-Date", at)
	if token := plain.Bytes(k.Session); len(token) > 0 {
		h.Set("X-Amz-Security-Token", string(token))
	}
	names := []string{"host"}
	for name := range h {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	var canonical strings.Builder
	canonical.WriteString(method + "\n" + path + "\n\n")
	for _, name := range names {
		value := host
		if name != "host" {
			value = strings.Join(h.Values(name), ",")
		}
		canonical.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + digest(body))
	scope := at[:8] + "/" + s.Region + "/" + s.Service + "/aws4_request"
	var signature string
	plain.Do(func() {
		key := append([]byte("AWS4"), plain.Bytes(k.Secret)...)
		for part := range strings.SplitSeq(scope, "/") {
			next := mac(key, part)
			clear(key)
			key = next
		}
		signature = hex.EncodeToString(mac(key, algorithm+"\n"+at+"\n"+scope+"\n"+digest([]byte(canonical.String()))))
		clear(key)
	})
	h.Set("Authorization", algorithm+" Credential="+k.ID+"/"+scope+", SignedHeaders="+signed+", Signature="+signature)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
