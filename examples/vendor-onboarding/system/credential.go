package system

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Credential is one that a system accepts. Either Token is set, or Username
// and Password are.
type Credential struct {
	Name     string   `json:"name"` // how it is counted
	Token    string   `json:"token,omitempty"`
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

// File is the form of the credentials file. Several credentials may be good at
// the same time, as they are while one is rotated.
type File struct {
	Credentials []Credential `json:"credentials"`
}

// presented is the text that a request has to present for c.
func (c Credential) presented() string {
	if c.Token != "" {
		return c.Token
	}
	return c.Username + ":" + c.Password
}

// Sum is the SHA-256 under which an accepted credential is counted: of the
// token, or of "username:password".
func (c Credential) Sum() [32]byte { return sha256.Sum256([]byte(c.presented())) }

// Scheme is how a request presents its credential.
type Scheme struct {
	challenge string // WWW-Authenticate
	present   func(*http.Request) (string, bool)
}

// APIKey takes the credential from a header of that name.
func APIKey(header string) Scheme {
	return Scheme{"ApiKey header=" + header, func(r *http.Request) (string, bool) {
		v := r.Header.Values(header)
		return strings.Join(v, "\n"), len(v) == 1
	}}
}

// Bearer is RFC 6750, header only.
func Bearer() Scheme {
	return Scheme{"Bearer", func(r *http.Request) (string, bool) {
		v := r.Header.Values("Authorization")
		if len(v) != 1 {
			return "", false
		}
		kind, token, ok := strings.Cut(v[0], " ")
		return token, ok && strings.EqualFold(kind, "bearer")
	}}
}

// Basic is RFC 7617.
func Basic(realm string) Scheme {
	return Scheme{`Basic realm="` + realm + `", charset="UTF-8"`, func(r *http.Request) (string, bool) {
		user, pass, ok := r.BasicAuth()
		return user + ":" + pass, ok && len(r.Header.Values("Authorization")) == 1
	}}
}

// match finds the credential that was presented. Every one is compared, so that
// the time says nothing about which came near.
func match(keys []Credential, presented string) (Credential, bool) {
	sum := sha256.Sum256([]byte(presented))
	found, at := 0, 0
	for i, k := range keys {
		want := k.Sum()
		eq := subtle.ConstantTimeCompare(sum[:], want[:])
		found |= eq
		at = subtle.ConstantTimeSelect(eq, i, at)
	}
	if found == 0 {
		return Credential{}, false
	}
	return keys[at], true
}

func readCredentials(path string) ([]Credential, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading the credentials: others can read %s; give it mode 0600", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials: %w", err)
	}
	return parseCredentials(b)
}

// parseCredentials never repeats the file's text in an error.
func parseCredentials(b []byte) ([]Credential, error) {
	var f File
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || d.More() {
		return nil, errors.New(`the credentials file is not of the form {"credentials":[{"name":…,"token":…}]}`)
	}
	for _, c := range f.Credentials {
		token, login := c.Token != "", c.Username != "" || c.Password != ""
		if c.Name == "" || token == login || (login && (c.Username == "" || c.Password == "" || strings.Contains(c.Username, ":"))) {
			return nil, errors.New("each credential needs a name, and either a token or a username and a password")
		}
		if len(c.presented()) < 16 {
			return nil, fmt.Errorf("the credential %q is shorter than 16 characters", c.Name)
		}
	}
	if len(f.Credentials) == 0 {
		return nil, errors.New("the credentials file has no credential")
	}
	return f.Credentials, nil
}

func (c Credential) may(scope string) bool { return scope == "" || slices.Contains(c.Scopes, scope) }
