package kek

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"sallyport.dev/internal/fault"
)

// transitTimeout is for signing in and one operation together.
var transitTimeout = 20 * time.Second

// maxAnswer is the most bytes of an answer.
const maxAnswer = 1 << 20

// transitServer checks the address: "https://host:port", with nothing after it,
// or http where the host is this machine.
func transitServer(address string) (server string, plainHTTP bool, err error) {
	bad := func(why string) (string, bool, error) {
		return "", false, fault.New(fault.Invalid, "the transit seal's address "+why).
			WithHint("write it like https://bao.example.com:8200")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return bad("is not a scheme, a host and a port alone") // it may hold a password, and is not repeated
	}
	switch {
	case u.Scheme == "https":
		return "https://" + u.Host, false, nil
	case u.Scheme != "http":
		return bad("is neither https nor http")
	}
	a, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !a.IsLoopback()) {
		return bad("is plain HTTP to another machine")
	}
	return "http://" + u.Host, true, nil
}

// transitClient makes the client. It follows no redirect, since the token would
// go along; no proxy of the environment; and keeps no connection.
func transitClient(caFile string, plainHTTP bool) (*http.Client, error) {
	roots, err := transitRoots(caFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: transitTimeout}
	if plainHTTP {
		// "localhost" is a name, and somebody else may answer for names.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().Unmap().IsLoopback() {
				return errors.New("plain HTTP to another machine")
			}
			return nil
		}
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			DisableKeepAlives:      true,
			DisableCompression:     true, // an answer is as long as it looks
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// transitRoots reads the CA file; nil means the system's certificates.
func transitRoots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	b, err := readSmall(caFile, maxAnswer, 0o022)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "the transit seal's CA file", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fault.New(fault.Invalid, "the transit seal's CA file has no certificate in PEM")
	}
	return roots, nil
}

// post sends one request and gives the answer's bytes. op is "encrypt",
// "decrypt" or "sign-in".
func (t *Transit) post(ctx context.Context, op, path string, token, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.server+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Internal, "making the request to the transit server")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true") // an agent between us and the server may insist on it
	if t.cfg.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", t.cfg.Namespace)
	}
	if token != nil {
		r.Header.Set("X-Vault-Token", string(token))
	}
	res, err := t.http.Do(r)
	if err != nil {
		return nil, t.unreachable(err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	raw, err := readAll(res.Body, maxAnswer)
	if err == nil && ctx.Err() != nil { // our own goodbye can make the server end its answer in good order
		clear(raw)
		err = fault.New(fault.Unavailable, "it took too long")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "reading the transit server's answer", err)
	}
	if res.StatusCode != http.StatusOK {
		defer clear(raw)
		return nil, t.refused(op, res.StatusCode, raw)
	}
	return raw, nil
}

// unreachable is the error of a request without an answer. The cause is Go's own
// text about the connection, with names of hosts.
func (t *Transit) unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := fault.Newf(fault.Unavailable, "the transit server %s does not answer: %s", t.server, fault.Quote(err.Error()))
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return f.WithHint("name the certificate of the server's authority with caFile")
	}
	return f
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
