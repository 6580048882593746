package awssm

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
	"sallyport.dev/internal/vault/internal/sieve"
)

// key is what signs, until it ends.
type key struct{ aws.Credentials }

// early is how long before its end a key is got anew.
const early = 5 * time.Minute

// keeper keeps the keys of one source, and is what the SDK asks for them. A key is got
// once for all who wait. The SDK's own cache can't say which key was refused, reads the
// machine's clock alone, and for one source goes on with a key that has ended.
type keeper struct {
	source aws.CredentialsProvider
	whom   string // it asks, in errors
	ends   bool   // what it gives says when it ends; the environment and the file are read each time
	now    func() time.Time
	mu     sync.Mutex // held while one is got: who comes meanwhile waits for it
	kept   *key
}

// use notes with which key a question was signed.
type use struct{ key *key }

type useKey struct{}

func using(ctx context.Context) (context.Context, *use) {
	u := &use{}
	return context.WithValue(ctx, useKey{}, u), u
}

// Retrieve gives the SDK a key that is good for a while. Errors are a *backend.Error.
func (k *keeper) Retrieve(ctx context.Context) (aws.Credentials, error) {
	got, err := k.key(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if u, ok := ctx.Value(useKey{}).(*use); ok {
		u.key = got
	}
	return got.Credentials, nil
}

func (k *keeper) key(ctx context.Context) (*key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept != nil && k.kept.CanExpire && k.now().Before(k.kept.Expires.Add(-early)) {
		return k.kept, nil
	}
	got, err := k.get(ctx)
	if err != nil {
		if k.kept != nil && k.now().Before(k.kept.Expires) && backend.ReasonOf(err) != backend.Refused {
			return k.kept, nil // it has some life left
		}
		return nil, err
	}
	k.kept = got
	return got, nil
}

// drop forgets a key that the service does not take; false: it is from where the same
// would come again.
func (k *keeper) drop(old *key) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old == nil {
		return false
	}
	if k.kept == old {
		k.kept = nil
	}
	return old.CanExpire
}

// minSecret is the least length of a secret key, in bytes. AWS's have 40; with a very
// short one FIPS 140 mode would not sign.
const minSecret = 16

// get asks the source, and checks what goes into headers.
func (k *keeper) get(ctx context.Context) (*key, error) {
	ctx, catch := sieve.Into(ctx)
	c, err := k.source.Retrieve(ctx)
	if err != nil {
		return nil, k.judge(err, catch)
	}
	if !safe.Header([]byte(c.AccessKeyID)) || !safe.Header([]byte(c.SecretAccessKey)) || len(c.SecretAccessKey) < minSecret || c.SessionToken != "" && !safe.Header([]byte(c.SessionToken)) {
		return nil, none("there is no key id with a secret key")
	}
	if c.CanExpire != k.ends || k.ends && (c.Expires.IsZero() || c.SessionToken == "") {
		return nil, none("the answer does not say when they end")
	}
	return &key{c}, nil
}

// judge sorts why there is no key. What the service wrote about it is not repeated.
func (k *keeper) judge(err error, catch *sieve.Catch) error {
	if catch.Err() != nil {
		return catch.Err()
	}
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e
	}
	name := errorName(err)
	switch {
	case throttles[name], catch.Status == http.StatusTooManyRequests, name == "IDPCommunicationError", broken(catch.Status):
		return backend.Fail(backend.Away, k.whom+" can't answer now").Later(rest.RetryAfter(catch.Header))
	}
	return none(k.whom + " gives us none")
}

func none(msg string) *backend.Error {
	return backend.Fail(backend.Refused, "the credentials for AWS: "+msg)
}
