package azurekv

import (
	"context"
	"time"

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
	_, err = k.Do(ctx, c, "the metadata service", "GET", server+"/x")
	return err
}
