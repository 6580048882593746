package awssm

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
	"sallyport.dev/internal/vault/internal/sieve"
)

// instance is where the metadata service is, and nothing else.
var instance = netip.MustParseAddr("169.254.169.254")

// containers are the addresses that a container's credentials may come from: of ECS
// tasks, and of EKS's agent.
var containers = []string{"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"}

// maxExternal is the most bytes of an external id.
const maxExternal = 1224

// newKeeper chooses the source.
func newKeeper(c Config, client *http.Client, server string, now func() time.Time) (*keeper, error) {
	k := &keeper{now: now, whom: "the metadata service"}
	var err error
	switch c.Credentials {
	case "environment":
		k.source, k.whom = aws.CredentialsProviderFunc(fromEnvironment), "the environment"
	case "file":
		if c.CredentialsFile == "" {
			return nil, bad("credentialsFile is missing")
		}
		if c.Profile == "" {
			c.Profile = "default"
		}
		k.source, k.whom = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return fromFile(c.CredentialsFile, c.Profile) }), "the file"
	case "webIdentity":
		k.source, k.whom, k.ends = webIdentity(c, client, server), "AWS STS", true
		if c.RoleARN != "" && !roleARN.MatchString(c.RoleARN) {
			return nil, bad("roleArn is not a role's ARN")
		}
	case "container":
		k.source, err = container()
		k.whom, k.ends = "the container", true
	case "instance":
		var plain *http.Client
		plain, err = rest.Client(rest.Options{Plain: true, Only: instance})
		k.source, k.ends = ofInstance(plain, "http://"+instance.String()), true
	default:
		return nil, bad("source is not one of environment, file, webIdentity, container and instance")
	}
	if err != nil || c.AssumeRole == nil {
		return k, err
	}
	if !roleARN.MatchString(c.AssumeRole.RoleARN) || c.AssumeRole.ExternalID != "" && !outside.MatchString(c.AssumeRole.ExternalID) || len(c.AssumeRole.ExternalID) > maxExternal {
		return nil, bad("assumeRole has no role's ARN, or an external id that is none")
	}
	return &keeper{now: now, whom: "AWS STS", source: assume(c, client, server, k), ends: true}, nil
}

func fromEnvironment(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
}

// fromFile reads a profile of the shared credentials file: keys that are written there,
// and nothing that the file says about programs, roles or other profiles.
func fromFile(path, profile string) (aws.Credentials, error) {
	raw, err := safe.Secret(path, 64<<10)
	defer clear(raw)
	if err != nil {
		return aws.Credentials{}, backend.FailOf(backend.Refused, "the credentials for AWS", err)
	}
	found, in := map[string]string{}, false
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			in = string(bytes.TrimSpace(bytes.Trim(line, "[]"))) == profile
			continue
		}
		if name, value, ok := bytes.Cut(line, []byte("=")); in && ok {
			found[strings.ToLower(string(bytes.TrimSpace(name)))] = string(bytes.TrimSpace(value))
		}
	}
	return aws.Credentials{AccessKeyID: found["aws_access_key_id"], SecretAccessKey: found["aws_secret_access_key"], SessionToken: found["aws_session_token"]}, nil
}

// ofInstance asks the metadata service, version 2: never without a session token.
func ofInstance(client *http.Client, server string) aws.CredentialsProvider {
	mesh := sieve.Mesh{Whole: true, Headers: []string{"Content-Type", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"}}
	service := imds.New(imds.Options{
		Endpoint: server, HTTPClient: sieve.New(client, "the metadata service", server, mesh), Retryer: aws.NopRetryer{},
		ClientEnableState: imds.ClientEnabled, EnableFallback: aws.FalseTernary,
	})
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = service })
}

// container asks where the environment says that a container's credentials are: at one
// of the known addresses, or on this machine.
func container() (aws.CredentialsProvider, error) {
	at := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if rel := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); rel != "" && at == "" {
		at = "http://" + containers[0] + rel
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
		return nil, bad("source: the environment names no place of a container's")
	}
	o, server := rest.Options{Plain: true}, "http://"+u.Host
	for _, known := range containers {
		if u.Host == known {
			o.Only = netip.MustParseAddr(strings.Trim(known, "[]"))
		}
	}
	if !o.Only.IsValid() {
		if server, _, err = rest.Address("the container's", server); err != nil {
			return nil, err
		}
	}
	client, err := rest.Client(o)
	if err != nil {
		return nil, err
	}
	return endpointcreds.New(server+u.EscapedPath(), func(o *endpointcreds.Options) {
		o.HTTPClient = sieve.New(client, "the container's credentials", server, sieve.Mesh{Whole: true, Headers: []string{"Content-Type"}})
		o.Retryer = aws.NopRetryer{}
		o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(containerToken)
	}), nil
}

// containerToken is what EKS gives a pod to ask with; ECS has none.
func containerToken() (string, error) {
	file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	if file == "" {
		return "", nil
	}
	token, err := safe.Credential(file)
	defer clear(token)
	if err != nil {
		return "", backend.FailOf(backend.Refused, "the credentials for AWS", err)
	}
	return string(token), nil
}
