package kek

import (
	"context"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// TransitConfig says which key of which server, and how to sign in there: with
// a token's file or an AppRole, one of the two.
type TransitConfig struct {
	// Address is https://host:port; http on loopback only.
	Address string `json:"address"`
	// Mount is the transit engine's path, "transit" when empty.
	Mount string `json:"mount,omitempty"`
	// Key is the key's name: of type aes256-gcm96 or chacha20-poly1305.
	Key string `json:"key"`
	// Namespace is sent as X-Vault-Namespace; empty: none.
	Namespace string `json:"namespace,omitempty"`
	// CAFile has the certificates, PEM, that alone are trusted for the server;
	// empty: those of the system.
	CAFile string `json:"caFile,omitempty"`
	// TokenFile has a token. It is read at each use, so that who renews the token
	// (the server's own agent) needs no restart.
	TokenFile string `json:"tokenFile,omitempty"`
	// AppRole signs in at each use.
	AppRole *AppRole `json:"appRole,omitempty"`
}

// AppRole is a machine's sign-in.
type AppRole struct {
	// Mount is its path below auth/, "approle" when empty.
	Mount        string `json:"mount,omitempty"`
	RoleID       string `json:"roleId"`
	SecretIDFile string `json:"secretIdFile"` // read at each use
}

// ReadTransitConfig reads it from a file with one JSON object. Unknown and
// repeated members are Invalid, and so is a file that others can change: Denied.
func ReadTransitConfig(path string) (TransitConfig, error) {
	var c TransitConfig
	return c, readConfig(path, &c)
}

// Transit is a seal by a key that never leaves an OpenBao or Vault server. Its
// errors repeat nothing that the server wrote: it has the plaintext in its hands.
type Transit struct {
	cfg    TransitConfig
	server string // "https://host:port"
	http   *http.Client
}

// NewTransit checks the configuration and reads the CA file. It asks the server
// nothing.
func NewTransit(c TransitConfig) (*Transit, error) {
	if c.Mount == "" {
		c.Mount = "transit"
	}
	if c.AppRole != nil {
		role := *c.AppRole // the caller's stays as it is
		if role.Mount == "" {
			role.Mount = "approle"
		}
		c.AppRole = &role
	}
	server, plainHTTP, err := rest.Address("the transit seal's", c.Address)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, err
	}
	client, err := rest.Client(rest.Options{Whose: "the transit seal's", CAFile: c.CAFile, Plain: plainHTTP})
	if err != nil {
		return nil, err
	}
	return &Transit{c, server, client}, nil
}

var (
	transitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	transitPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){0,7}$`)
)

func (c TransitConfig) check() error {
	bad := func(msg string) error {
		return fault.New(fault.Invalid, "the transit seal's "+msg).WithHint("docs/seals.md has an example")
	}
	switch {
	case !transitPath.MatchString(c.Mount):
		return bad("mount is not a path of plain words")
	case !transitName.MatchString(c.Key):
		return bad("key is not the name of one")
	case c.Namespace != "" && !transitPath.MatchString(strings.TrimSuffix(c.Namespace, "/")):
		return bad("namespace is not a path of plain words")
	case (c.TokenFile == "") == (c.AppRole == nil):
		return bad("sign-in is missing or there twice: name tokenFile or appRole")
	case c.AppRole != nil && (!transitPath.MatchString(c.AppRole.Mount) || !safe.Header([]byte(c.AppRole.RoleID)) || c.AppRole.SecretIDFile == ""):
		return bad("appRole has no proper mount, roleId or secretIdFile")
	}
	return nil
}

// Kind is [KindTransit].
func (*Transit) Kind() Kind { return KindTransit }

// id names the key. It is in the associated data too.
func (t *Transit) id() string { return t.cfg.Mount + "/" + t.cfg.Key }

// Wrap has the server encrypt, and refuses a server that would decrypt the
// result as something else than what it is.
func (t *Transit) Wrap(ctx context.Context, aad box.AAD, root plain.Value) (Sealed, error) {
	s := Sealed{Kind: KindTransit, ID: t.id()}
	body := transitBody("plaintext", plain.Bytes(root), bind(aad, s))
	defer clear(body)
	raw, err := t.ask(ctx, "encrypt", body)
	if err == nil {
		s.Box, err = transitCiphertext(raw)
	}
	if err != nil {
		return Sealed{}, err
	}
	// Servers before 1.13 don't know associated data, and say nothing about it.
	elsewhere, err := t.decrypt(ctx, box.Bind("another vault", string(aad)), s)
	plain.Wipe(elsewhere)
	if err == nil {
		return Sealed{}, fault.New(fault.Invalid, "the transit server does not bind what it encrypts to the associated data").
			WithHint("it takes OpenBao, or Vault 1.13 and later")
	}
	if !fault.Is(err, fault.Denied) {
		return Sealed{}, err
	}
	return s, nil
}

// Unwrap has the server decrypt.
func (t *Transit) Unwrap(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	if s.ID != t.id() {
		return plain.Value{}, fault.Newf(fault.Denied, "the transit key %s is not the one that the vault was sealed with", t.id()).
			WithHint("the vault wants %s", fault.Quote(s.ID))
	}
	// It comes from the database, and goes into a request with our token.
	if !transitBox.Match(s.Box) {
		return plain.Value{}, fault.New(fault.Invalid, "what is stored under the transit seal is no ciphertext of the form vault:v1:...")
	}
	return t.decrypt(ctx, bind(aad, s), s)
}

// transitBox is what the server encrypts to: the key's version, and base64. With
// 32 bytes of plaintext, nonce and tag it has some 90 bytes.
var transitBox = regexp.MustCompile(`^vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{40,1000}={0,2}$`)

func (t *Transit) decrypt(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	raw, err := t.ask(ctx, "decrypt", transitBody("", s.Box, aad))
	defer clear(raw)
	if err != nil {
		return plain.Value{}, err
	}
	return transitPlaintext(raw)
}

// transitBody is a request's JSON, built where it can be wiped. With a member
// named, that member is the base64 of b; without, b is a ciphertext as it is.
func transitBody(member string, b []byte, aad box.AAD) (body []byte) {
	body = make([]byte, 0, 2*(len(b)+len(aad))+80)
	plain.Do(func() {
		if member == "" {
			body = append(append(body, `{"ciphertext":"`...), b...)
		} else {
			body = append(append(append(body, `{"`...), member...), `":"`...)
			body = base64.StdEncoding.AppendEncode(body, b)
		}
		body = append(body, `","associated_data":"`...)
		body = base64.StdEncoding.AppendEncode(body, aad)
		body = append(body, `"}`...)
	})
	return body
}

// ask signs in, posts to the key, and gives the answer.
func (t *Transit) ask(ctx context.Context, op string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, transitTimeout)
	defer cancel()
	token, err := t.token(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(token)
	return t.post(ctx, op, t.cfg.Mount+"/"+op+"/"+t.cfg.Key, token, body)
}

// token reads the token's file, or signs in with the AppRole.
func (t *Transit) token(ctx context.Context) ([]byte, error) {
	if t.cfg.AppRole == nil {
		return credentialFile("token", t.cfg.TokenFile)
	}
	secret, err := credentialFile("secret id", t.cfg.AppRole.SecretIDFile)
	defer clear(secret)
	if err != nil {
		return nil, err
	}
	// Neither has a character that JSON escapes: safe.Header saw both.
	body := make([]byte, 0, len(secret)+len(t.cfg.AppRole.RoleID)+40)
	body = append(append(append(append(append(body, `{"role_id":"`...), t.cfg.AppRole.RoleID...), `","secret_id":"`...), secret...), `"}`...)
	defer clear(body)
	raw, err := t.post(ctx, "sign-in", "auth/"+t.cfg.AppRole.Mount+"/login", nil, body)
	defer clear(raw)
	if err != nil {
		return nil, err
	}
	return transitToken(raw)
}

// credentialFile reads a token or secret id.
func credentialFile(what, path string) ([]byte, error) {
	b, err := safe.Credential(path)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "the transit seal's "+what, err)
	}
	return b, nil
}
