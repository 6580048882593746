package gcpsm

import (
	"bytes"
	"context"
	"fmt"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
)

// Read reads an answer.
func Read(raw []byte, a backend.Ask) (backend.Answer, error) {
	m := &manager{cfg: Config{Project: "acme-prod"}}
	return m.read(raw, a)
}

// DoForTest does something as an administrator does, and gives the last part of the
// name of what it made.
func DoForTest(ctx context.Context, b backend.Backend, method, below, body string) (string, error) {
	m := b.(*manager)
	in := rest.Request{Method: method, URL: m.server + "/v1/projects/" + m.cfg.Project + "/secrets" + below}
	if body != "" {
		in.Body = []byte(body)
	}
	a, err := m.tokens.Do(ctx, m.http, who, in)
	if err != nil || a.Status != 200 && a.Status != 409 {
		return "", fmt.Errorf("status %d: %w", a.Status, err)
	}
	_, name, _ := bytes.Cut(a.Body, []byte("/versions/"))
	end, _, _ := bytes.Cut(name, []byte{'"'})
	return string(end), nil
}
