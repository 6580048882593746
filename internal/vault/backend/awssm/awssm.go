// Package awssm is AWS Secrets Manager, by AWS's own SDK: it makes the requests, signs
// them and reads the answers. The values in them it never gets (see package sieve).
//
// It refuses an answer for another name or ARN, of another version or stage than was
// asked for; and to write over anything. The SDK repeats nothing: when to ask again is
// the vault's to say.
//
// # Security
//
// The credentials come from one source that the server's file names, and from no other:
// the SDK's own chain, which looks further and would use whatever it finds, is not
// linked. Nor are the addresses the environment's to choose. The metadata service is
// asked with a session token (IMDSv2) at its one address; every other request goes over
// TLS. Keys that sign are strings of the SDK's, and live until they are collected.
package awssm

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sieve"
)

// Config says which region of which account, and how to sign.
type Config struct {
	Region string `yaml:"region"`
	// Endpoint is the service's, https://host: of a VPC endpoint. The region's when empty.
	Endpoint string `yaml:"endpoint,omitempty"`
	CAFile   string `yaml:"caFile,omitempty"` // the system's certificates when empty
	// FIPS says that the region's endpoints are those with validated cryptography.
	FIPS bool `yaml:"fips,omitempty"`
	// Credentials says where the keys are from, and is one of environment, file, webIdentity, container and instance.
	Credentials string `yaml:"source"`
	// CredentialsFile and Profile are of file: the shared credentials file.
	CredentialsFile string `yaml:"credentialsFile,omitempty"`
	Profile         string `yaml:"profile,omitempty"` // "default" when empty
	// RoleARN and TokenFile are of webIdentity; each from the environment that EKS sets
	// when it is empty.
	RoleARN   string `yaml:"roleArn,omitempty"`
	TokenFile string `yaml:"tokenFile,omitempty"`
	// STSEndpoint is where roles are assumed. The region's when empty.
	STSEndpoint string `yaml:"stsEndpoint,omitempty"`
	// AssumeRole is a role that is assumed with the keys of the source: of another
	// account, say.
	AssumeRole *AssumeRole `yaml:"assumeRole,omitempty"`
	// Write says that "secret move" may make new secrets there.
	Write bool `yaml:"write,omitempty"`
}

// AssumeRole is a role that the source's identity may assume.
type AssumeRole struct {
	RoleARN string `yaml:"roleArn"`
	// ExternalID is what the role's owner asks for.
	ExternalID string `yaml:"externalId,omitempty"`
}

// How errors name the services, and this backend.
const (
	who   = "AWS Secrets Manager"
	whose = "the AWS backend's"
)

// manager is one region of one account.
type manager struct {
	cfg    Config
	client *secretsmanager.Client
	keys   *keeper
}

// writer is one that takes values.
type writer struct{ *manager }

// Lengths are checked where they are used: as counted repetitions they would take a
// megabyte. A path has its own bound.
var (
	region  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)
	id      = regexp.MustCompile(`^[0-9A-Za-z-]{32,64}$`)
	secret  = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]+$`)
	fullARN = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$`)
	roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9/_+=,.@-]+$`)
	outside = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]+$`)
)

// mesh is what the SDK gets of an answer.
var mesh = sieve.Mesh{
	Members: []string{"ARN", "Name", "VersionId", "VersionStages"},
	Values:  []string{"SecretString", "SecretBinary"},
	Error:   "__type",
	Headers: []string{"Content-Type", "X-Amzn-Errortype"},
}

// New checks the configuration. It asks nobody anything.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	at, err := find(c)
	if err != nil {
		return nil, err
	}
	_, plainHTTP, err := rest.Address(whose, at.secrets)
	if err != nil {
		return nil, err
	}
	client, err := rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Plain: plainHTTP, Keep: true})
	if err != nil {
		return nil, err
	}
	return over(c, at, client, now)
}

// over makes it of a client.
func over(c Config, at places, client *http.Client, now func() time.Time) (backend.Backend, error) {
	keys, err := newKeeper(c, client, at.sts, now)
	if err != nil {
		return nil, err
	}
	m := &manager{cfg: c, keys: keys, client: secretsmanager.New(secretsmanager.Options{
		Region: c.Region, BaseEndpoint: &at.secrets, HTTPClient: sieve.New(client, who, at.secrets, mesh), Credentials: keys,
		HTTPSignerV4: signer{}, Retryer: aws.NopRetryer{}, DisableClockSkewCorrection: true, // no server sets our clock
	})}
	if c.Write {
		return writer{m}, nil
	}
	return m, nil
}

func bad(msg string) error {
	return fault.New(fault.Invalid, whose+" "+msg).WithHint("docs/bring-your-own-vault.md has an example")
}

// Ready looks at the file that the keys, or the token for them, are in.
func (m *manager) Ready() error {
	const what = "the credentials for AWS"
	switch m.cfg.Credentials {
	case "file":
		return backend.Readable(what, 64<<10, m.cfg.CredentialsFile)
	case "webIdentity":
		return backend.Readable(what, 64<<10, cmp.Or(m.cfg.TokenFile, os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")))
	}
	return nil
}

// Enter gets keys anew, and asks Secrets Manager nothing: every question there is about
// one secret. Keys that are only read, and from nobody, are not tried by that.
func (m *manager) Enter(ctx context.Context) (string, error) {
	if _, err := m.keys.get(ctx); err != nil {
		return "", err
	}
	if !m.keys.ends {
		return "there are keys, which were not tried", nil
	}
	return "got keys of " + m.keys.whom + "; Secrets Manager was not asked for anything", nil
}

// Named: a secret there is one value.
func (*manager) Named() bool { return false }

// Check takes a name or a whole ARN, and a stage or the id of a version.
func (*manager) Check(a backend.Ask) error {
	if !secret.MatchString(a.Path) && !fullARN.MatchString(a.Path) {
		return fault.New(fault.Invalid, "a path in AWS Secrets Manager is a secret's name, or its whole ARN with the six characters at its end")
	}
	return nil
}

// refusals are the names of errors about who we are.
var refusals = map[string]bool{
	"AccessDeniedException": true, "AccessDenied": true, "DecryptionFailure": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true, "ExpiredTokenException": true, "ExpiredToken": true, "IncompleteSignature": true,
	"IncompleteSignatureException": true, "MissingAuthenticationTokenException": true, "NotAuthorized": true, "OptInRequired": true,
}

// throttles are the names of errors that ask to be asked later.
var throttles = map[string]bool{
	"ThrottlingException": true, "Throttling": true, "TooManyRequestsException": true, "RequestLimitExceeded": true, "LimitExceededException": true,
	"SlowDown": true, "RequestThrottled": true,
}

// broken reports whether a status says that the server can't answer.
func broken(status int) bool {
	return status >= 300 && status < 400 || status >= http.StatusInternalServerError
}
