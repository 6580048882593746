package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
)

// where is the server that is meant.
func (p *program) where(s sessions) (string, error) {
	for _, url := range []string{p.server, p.getenv("SALLYPORT_SERVER"), s.Current} {
		if url != "" {
			return normal(url), nil
		}
	}
	return "", fault.New(fault.Unauthenticated, "no server is named").
		WithHint("sign in with: sallyport login --server URL, or set SALLYPORT_SERVER")
}

// dial makes a client with a token, or without one.
func dial(server, token string) (*client.Client, error) {
	c, err := client.New(server, client.Token(token), client.UserAgent(api.UserAgentCLI))
	if err != nil {
		return nil, &usageError{err.Error(), "name it like https://sallyport.example, or http://127.0.0.1:7411 on this machine"}
	}
	return c, nil
}

// stranger makes a client that is not signed in.
func (p *program) stranger() (*client.Client, string, error) {
	s, _, err := p.sessions()
	if err != nil {
		return nil, "", err
	}
	server, err := p.where(s)
	if err != nil {
		return nil, "", err
	}
	c, err := dial(server, "")
	return c, server, err
}

// signedIn makes a client with $SALLYPORT_TOKEN, or with the stored session of
// the server.
func (p *program) signedIn() (*client.Client, error) {
	s, _, err := p.sessions()
	if err != nil {
		return nil, err
	}
	server, err := p.where(s)
	if err != nil {
		return nil, err
	}
	token := p.getenv("SALLYPORT_TOKEN")
	if token == "" {
		token = s.Servers[server].Token
	}
	if token == "" {
		return nil, fault.Newf(fault.Unauthenticated, "not signed in at %s", server).
			WithHint("sign in with: sallyport login --server %s", server)
	}
	return dial(server, token)
}

// call makes one call with whoever is signed in. out takes the answer; the raw
// bytes are for --json.
func (p *program) call(ctx context.Context, method, path string, in, out any) (json.RawMessage, error) {
	if strings.Contains(path, "//") || strings.HasSuffix(path, "/") { // a part of a route is empty
		return nil, &usageError{"an id or a name is missing", "give each that the command takes, those of its flags too: see --help"}
	}
	c, err := p.signedIn()
	if err != nil {
		return nil, err
	}
	return answer(ctx, c, method, path, in, out)
}

func answer(ctx context.Context, c *client.Client, method, path string, in, out any) (json.RawMessage, error) {
	var raw []byte
	if err := c.Call(ctx, method, path, in, &raw); err != nil {
		return nil, err
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			return nil, fault.New(fault.Internal, "the server's answer can't be read").WithHint("is the server of the same version as this program")
		}
	}
	return raw, nil
}

// route joins the parts of a path, each escaped.
func route(parts ...string) string {
	var b strings.Builder
	for _, s := range parts {
		s = url.PathEscape(s)
		if s == "." || s == ".." {
			s = strings.ReplaceAll(s, ".", "%2E")
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// query adds what is not empty to a path.
func query(path string, kv ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			q.Set(kv[i], kv[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
