package awssm

import (
	"bytes"
	"context"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
	"sallyport.dev/internal/vault/internal/sieve"
)

// session is what a role's session is called in AWS's own log.
const session = "sallyport"

// stsClient asks STS, as the base; nil: as nobody.
func stsClient(c Config, client *http.Client, server string, base aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{
		Region: c.Region, BaseEndpoint: &server, Credentials: base, HTTPSignerV4: signer{}, Retryer: aws.NopRetryer{}, DisableClockSkewCorrection: true,
		HTTPClient: sieve.New(client, "AWS STS", server, sieve.Mesh{Whole: true, Headers: []string{"Content-Type"}, Check: oneKey}),
	})
}

// oneKey refuses an answer of STS that two readers would take two keys out of.
func oneKey(a rest.Answer) error {
	if a.Status != http.StatusOK {
		return nil
	}
	for _, name := range []string{"Credentials", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"} {
		if bytes.Count(a.Body, []byte("<"+name+">")) != 1 || bytes.Count(a.Body, []byte("</"+name+">")) != 1 {
			return backend.Fail(backend.Wrong, "AWS STS's answer is not the one that is expected")
		}
	}
	return nil
}

// webIdentity assumes a role with a token that Kubernetes, or another issuer that the
// account trusts, has written into a file.
func webIdentity(c Config, client *http.Client, server string) aws.CredentialsProvider {
	service := stsClient(c, client, server, nil)
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		role, file := c.RoleARN, c.TokenFile
		if role == "" {
			role = os.Getenv("AWS_ROLE_ARN")
		}
		if file == "" {
			file = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
		}
		if !roleARN.MatchString(role) {
			return aws.Credentials{}, none("neither the file nor the environment has a role's ARN")
		}
		token, err := safe.Credential(file)
		defer clear(token)
		if err != nil {
			return aws.Credentials{}, backend.FailOf(backend.Refused, "the credentials for AWS: the web identity's token", err)
		}
		return stscreds.NewWebIdentityRoleProvider(service, role, identity(token), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = session }).Retrieve(ctx)
	})
}

// identity is a web identity's token, read already.
type identity []byte

// GetIdentityToken gives it to the SDK.
func (t identity) GetIdentityToken() ([]byte, error) { return t, nil }

// assume assumes a role with other keys; with new ones, where those had ended.
func assume(c Config, client *http.Client, server string, base *keeper) aws.CredentialsProvider {
	service := stsClient(c, client, server, base)
	role := stscreds.NewAssumeRoleProvider(service, c.AssumeRole.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = session
		if c.AssumeRole.ExternalID != "" {
			o.ExternalID = &c.AssumeRole.ExternalID
		}
	})
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		inner, used := using(ctx)
		got, err := role.Retrieve(inner)
		if name := errorName(err); (name == "ExpiredToken" || name == "ExpiredTokenException" || name == "InvalidClientTokenId") && base.drop(used.key) {
			got, err = role.Retrieve(inner)
		}
		return got, err
	})
}
