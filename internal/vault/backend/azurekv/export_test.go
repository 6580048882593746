package azurekv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sieve"
)

// OverForTest makes one whose connections, to whatever host, go to an address: a fake
// that has the names of the cloud's hosts.
func OverForTest(c Config, at string, now func() time.Time) (backend.Backend, error) {
	client, err := rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Keep: true})
	if err != nil {
		return nil, err
	}
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", at)
	}
	return over(c, client, now)
}

// AnsweredForTest makes one whose requests a round-tripper answers, those of signing in
// too.
func AnsweredForTest(secretFile string, rt http.RoundTripper) (backend.Backend, error) {
	c := Config{Vault: "https://acme.vault.azure.net", Tenant: "a-tenant", ClientID: "app", ClientSecretFile: secretFile}
	return over(c, &http.Client{Transport: rt}, func() time.Time { return time.Unix(1e9, 0) })
}

// ManagedForTest gets a token from a metadata service elsewhere.
func ManagedForTest(ctx context.Context, server, clientID string) (string, time.Time, error) {
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		return "", time.Time{}, err
	}
	t, err := managed(ctx, c, server, clientID, "https://vault.azure.net")
	return t.Token, t.ExpiresOn, err
}

// PutForTest makes a version, as an administrator does.
func PutForTest(ctx context.Context, b backend.Backend, name, value string) (string, error) {
	ctx, catch := sieve.Into(ctx)
	defer catch.Wipe()
	got, err := b.(*keyVault).client.SetSecret(ctx, name, azsecrets.SetSecretParameters{Value: &value}, nil)
	if err != nil || got.ID == nil {
		return "", fmt.Errorf("status %d: %w", catch.Status, err)
	}
	return got.ID.Version(), nil
}

// DeleteForTest takes a secret away.
func DeleteForTest(ctx context.Context, b backend.Backend, name string) error {
	ctx, catch := sieve.Into(ctx)
	defer catch.Wipe()
	_, err := b.(*keyVault).client.DeleteSecret(ctx, name, nil)
	return err
}
