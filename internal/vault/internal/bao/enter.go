package bao

import (
	"context"
	"net/http"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
)

// Mount is what the server says of an engine's mount.
type Mount struct{ Type, Version string }

// Ready looks at the files of the sign-in.
func (s *Server) Ready() error { return s.login.ready() }

func (l tokenLogin) ready() error   { return readable("token", l.file) }
func (l appRoleLogin) ready() error { return readable("secret id", l.SecretIDFile) }
func (l jwtLogin) ready() error     { return readable("JWT", l.JWTFile) }

func (l certLogin) ready() error {
	if _, err := keyPair(*l.Certificate); err != nil {
		return backend.FailOf(backend.Refused, "the client certificate for the Vault server can't be used", err)
	}
	return nil
}

func readable(what, path string) error {
	b, err := credential(what, path)
	clear(b)
	return err
}

// Enter signs in anew and asks about an engine's mount, by the question that the
// server's own command line begins with: it is answered to every token whose policy has
// something below the mount, and reads nothing there. The token that was got for it is
// ended; the one that is in use is left alone, since tokens of Runs end with it.
func (s *Server) Enter(ctx context.Context, mount string) (m Mount, err error) {
	t, err := s.login.sign(ctx, s)
	if err != nil {
		return m, err
	}
	if s.cfg.TokenFile == "" { // else it is not ours to end
		defer s.leave(context.WithoutCancel(ctx), t)
	} else if err := s.knows(ctx, t); err != nil {
		return m, err
	}
	path := "sys/internal/ui/mounts/" + mount
	a, err := s.send(ctx, http.MethodGet, path, t, nil)
	if err != nil {
		return m, err
	}
	defer clear(a.Body)
	switch {
	case a.Status == http.StatusForbidden:
		return m, backend.Fail(backend.Refused, "the sign-in is taken, and the Vault server has no mount "+fault.Quote(mount)+", or the policy allows nothing below it (status 403)").
			WithHint("check the backend's mount and namespace, and the policy of the role or token; docs/bring-your-own-vault.md has one")
	case a.Status == http.StatusNotFound || a.Status == http.StatusBadRequest: // a server that has no such question
		return m, nil
	}
	if err := s.Judge(path, a); err != nil {
		return m, err
	}
	data, err := object.Inside(a.Body, "data")
	if err != nil {
		return m, backend.Fail(backend.Wrong, who+"'s answer about the mount is not the JSON that is expected")
	}
	m.Type = object.Word(data["type"])
	if options, err := object.Members(data["options"]); err == nil {
		m.Version = object.Word(options["version"])
	}
	return m, nil
}

// knows asks whether the server takes a token. A policy may not let it look itself up.
func (s *Server) knows(ctx context.Context, t *token) error {
	a, err := s.send(ctx, http.MethodGet, "auth/token/lookup-self", t, nil)
	if err != nil {
		return err
	}
	defer clear(a.Body)
	if a.Status == http.StatusForbidden {
		return backend.Fail(backend.Refused, who+" does not take the token, or its policy does not let it look itself up (status 403)").
			WithHint("the token has ended, or is of another server: put a new one into the tokenFile; or allow it auth/token/lookup-self")
	}
	return s.Judge("auth/token/lookup-self", a)
}

// leave ends a token that is used no more. Where that is not taken, it ends by itself.
func (s *Server) leave(ctx context.Context, t *token) {
	ctx, cancel := context.WithTimeout(ctx, signing)
	defer cancel()
	if a, err := s.send(ctx, http.MethodPost, "auth/token/revoke-self", t, []byte("{}")); err == nil {
		clear(a.Body)
	}
}

// KV is the version of the key-value engine that the mount has; 0: it has another.
func (m Mount) KV() int {
	switch {
	case m.Type != "kv" && m.Type != "generic":
		return 0
	case m.Version == "2":
		return 2
	}
	return 1
}

// Did says for people what Enter has looked at, in our own words.
func (m Mount) Did(mount string) string {
	switch {
	case m.Type == "":
		return "signed in"
	case m.KV() == 0:
		return "signed in; the mount " + mount + " is there"
	}
	return "signed in; the mount " + mount + " is there, a key-value engine of version " + strconv.Itoa(m.KV())
}
