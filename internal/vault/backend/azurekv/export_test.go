package azurekv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bearer"
	"sallyport.dev/internal/vault/internal/rest"
)

// Read reads an answer.
var Read = read

// ManagedForTest gets a token from a metadata service elsewhere, and uses it there.
func ManagedForTest(ctx context.Context, server, clientID string) error {
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		return err
	}
	k := bearer.New("the metadata service", time.Now, func(ctx context.Context) (rest.Answer, error) {
		return managed(ctx, c, server, clientID, scopeOf("https://a.vault.azure.net"))
	})
	_, err = k.Do(ctx, c, "the metadata service", rest.Request{Method: "GET", URL: server + "/x"})
	return err
}

// DoForTest does something as an administrator does, and gives a secret's version.
func DoForTest(ctx context.Context, b backend.Backend, method, name, value string) (string, error) {
	k := b.(*keyVault)
	in := rest.Request{Method: method, URL: k.server + "/secrets/" + name + "?api-version=7.4"}
	if value != "" {
		in.Body, _ = json.Marshal(map[string]string{"value": value})
	}
	a, err := k.tokens.Do(ctx, k.http, who, in)
	if err != nil || a.Status != 200 {
		return "", fmt.Errorf("status %d: %w", a.Status, err)
	}
	_, id, _ := bytes.Cut(a.Body, []byte("/secrets/"+name+"/"))
	return string(id[:min(32, len(id))]), nil
}
