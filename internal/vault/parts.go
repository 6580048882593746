package vault

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/internal/scrub"
)

// minLine is the least length of a part of a value that counts as a secret of
// its own, in bytes.
const minLine = 16

// maxParts bounds how many parts one value has.
const maxParts = 500

// shapeToken is the shape of what stays one word.
const shapeToken = "a JSON web token" //nolint:gosec // a name

// Shape says what a value is made of, when it is not one word: a system may show
// a part of it alone. Empty for all others; for people who store it.
func Shape(value []byte) string {
	shape, _ := parts(bytes.TrimSpace(value))
	return shape
}

// parts gives what is secret in a value by itself. The slices are copies, or
// share the value's memory.
func parts(v []byte) (shape string, out [][]byte) {
	keep := func(list ...[]byte) {
		for _, p := range list {
			if p = bytes.TrimSpace(p); len(p) < len(v) && len(out) < maxParts && scrub.Check(p) == nil {
				out = append(out, p)
			}
		}
	}
	switch {
	case len(v) > 0 && (v[0] == '{' || v[0] == '['):
		var doc any
		if json.Unmarshal(v, &doc) != nil {
			return "", nil
		}
		leaves(doc, keep)
		return "a JSON document", out
	case bytes.IndexByte(v, '\n') >= 0:
		keep(lines(v)...)
		return "a text of several lines", out
	case bytes.HasPrefix(v, []byte("eyJ")) && bytes.Count(v, []byte(".")) == 2:
		// Not the header: it is the same for many.
		keep(v[bytes.LastIndexByte(v, '.')+1:])
		return shapeToken, out
	case bytes.HasPrefix(v, []byte("whsec_")):
		keep(v[len("whsec_"):])
		return "a webhook's signing key", out
	case bytes.Contains(v, []byte("://")):
		if p := urlPassword(string(v)); p != "" {
			keep([]byte(p), []byte(url.QueryEscape(p)))
			return "a connection string", out
		}
		if keep(addressParts(v)...); len(out) > 0 {
			return "an address with a secret in it", out
		}
	case bytes.IndexByte(v, '@') > 0 && bytes.Contains(v, []byte("@tcp(")): // of MySQL's drivers
		if _, p, ok := bytes.Cut(v[:bytes.LastIndex(v, []byte("@tcp("))], []byte(":")); ok {
			keep(p)
			return "a connection string", out
		}
	case bytes.IndexByte(v, '=') > 0 && bytes.ContainsAny(v, "; "):
		for _, pair := range strings.FieldsFunc(string(v), func(r rune) bool { return r == ';' || r == ' ' }) {
			key, value, _ := strings.Cut(pair, "=")
			if secretWord(key) {
				keep([]byte(strings.Trim(value, `'"`)))
			}
		}
		if len(out) > 0 {
			return "a connection string", out
		}
	}
	return "", nil
}

// addressParts are the path of an address and its last segment, where they are too
// long to be names: a system that refuses a call repeats the path alone.
func addressParts(v []byte) (out [][]byte) {
	u, err := url.Parse(string(v))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil
	}
	path := u.EscapedPath()
	for _, p := range []string{path, path[strings.LastIndexByte(path, '/')+1:]} {
		if p = strings.Trim(p, "/"); len(p) >= minLine {
			out = append(out, []byte(p))
		}
	}
	return out
}

// lines are those that say something: not a PEM header, not an end.
func lines(v []byte) (out [][]byte) {
	for line := range bytes.Lines(v) {
		line = bytes.TrimSpace(line)
		if len(line) >= minLine && !bytes.HasPrefix(line, []byte("-----")) {
			out = append(out, line)
		}
	}
	return out
}

// leaves keeps the texts of a JSON document that are not for reading: addresses
// and sentences stay as they are wherever they are met.
func leaves(doc any, keep func(...[]byte)) {
	switch d := doc.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(d)) {
			if !publicKey(key) {
				leaves(d[key], keep)
			}
		}
	case []any:
		for _, v := range d {
			leaves(v, keep)
		}
	case string:
		if strings.ContainsRune(d, '\n') {
			keep([]byte(d))
			keep(lines([]byte(d))...)
			return
		}
		if p := urlPassword(d); p != "" {
			keep([]byte(d), []byte(p))
			return
		}
		if len(d) >= minLine && !strings.ContainsAny(d, " @") && !strings.Contains(d, "://") {
			keep([]byte(d))
		}
	}
}

// publicKey reports whether a key of a JSON document is of a name or an address,
// which everybody may know.
func publicKey(key string) bool {
	switch key = strings.ToLower(key); key {
	case "type", "kind", "name", "user", "username", "project_id", "projectid", "client_id", "clientid", "tenant_id", "tenantid", "account",
		"account_id", "subscription_id", "client_email", "email", "universe_domain", "region", "endpoint", "host", "audience", "scope", "issuer":
		return true
	}
	return strings.HasSuffix(key, "_uri") || strings.HasSuffix(key, "_url")
}

// urlPassword is the password in a URL, decoded; empty where there is none.
func urlPassword(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return ""
	}
	p, _ := u.User.Password()
	return p
}

// secretWord reports whether a key of a connection string is of a credential.
func secretWord(key string) bool {
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "password", "pwd", "accountkey", "sharedaccesskey", "sharedaccesssignature", "accesskey", "secret", "clientsecret", "token":
		return true
	}
	return false
}
