package awssm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go/logging"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
)

// Places are the addresses of a configuration.
func Places(c Config) (secrets, sts string, err error) {
	p, err := find(c)
	return p.secrets, p.sts, err
}

// OverForTest makes one whose requests go to a round-tripper.
func OverForTest(c Config, rt http.RoundTripper) (backend.Backend, error) {
	at, err := find(c)
	if err != nil {
		return nil, err
	}
	return over(c, at, &http.Client{Transport: rt}, time.Now)
}

// LoggedForTest fetches with all of the SDK's logging on, and gives what it logged.
func LoggedForTest(ctx context.Context, b backend.Backend, name string) (string, error) {
	m := *b.(*manager)
	var log strings.Builder
	o := m.client.Options()
	o.ClientLogMode = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogSigning | aws.LogRetries
	o.Logger = logging.NewStandardLogger(&log)
	m.client = secretsmanager.New(o)
	got, err := m.Fetch(ctx, backend.Ask{Path: name})
	got.Wipe()
	return log.String(), err
}

// InstanceForTest gets a key from a metadata service elsewhere.
func InstanceForTest(ctx context.Context, server string) (string, error) {
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		return "", err
	}
	k := &keeper{source: ofInstance(c, server), whom: "the metadata service", ends: true}
	got, err := k.get(ctx)
	if err != nil {
		return "", err
	}
	return got.AccessKeyID, nil
}

// PutForTest makes a version, as an administrator does.
func PutForTest(ctx context.Context, b backend.Backend, name, value string) (id string, err error) {
	m := b.(writer).manager
	_, err = m.call(ctx, func(ctx context.Context) error {
		out, err := m.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
		if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
			made, err := m.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
			if err == nil {
				id = aws.ToString(made.VersionId)
			}
			return err
		}
		if err == nil {
			id = aws.ToString(out.VersionId)
		}
		return err
	})
	return id, err
}

// DeleteForTest takes a secret away.
func DeleteForTest(ctx context.Context, b backend.Backend, name string) error {
	m := b.(writer).manager
	_, err := m.call(ctx, func(ctx context.Context) error {
		_, err := m.client.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &name, ForceDeleteWithoutRecovery: aws.Bool(true)})
		return err
	})
	return err
}
