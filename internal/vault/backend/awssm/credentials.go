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
	"sync"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
	"sallyport.dev/internal/vault/internal/sigv4"
)

// key is what signs, until it ends.
type key struct {
	sigv4.Key
	end time.Time // zero: it lasts; the environment and the file are read each time
}

// early is how long before its end a key is got anew.
const early = 5 * time.Minute

// credentials gets keys from one source. A key is got once for all who wait.
type credentials struct {
	source func(ctx context.Context) (*key, error)
	now    func() time.Time
	mu     sync.Mutex // held while one is got: who comes meanwhile waits for it
	kept   *key
}

// instance is where the metadata service is, and nothing else.
var instance = netip.MustParseAddr("169.254.169.254")

// containers are the addresses that a container's credentials may come from over plain
// HTTP: of ECS tasks, and of EKS's agent.
var containers = []string{"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"}

// newCredentials chooses the source.
func newCredentials(c Config, client *http.Client, now func() time.Time) (*credentials, error) {
	out := &credentials{now: now}
	switch c.Credentials {
	case "environment":
		out.source = fromEnvironment
	case "file":
		if c.CredentialsFile == "" {
			return nil, bad("credentialsFile is missing")
		}
		profile := c.Profile
		if profile == "" {
			profile = "default"
		}
		out.source = func(context.Context) (*key, error) { return fromFile(c.CredentialsFile, profile) }
	case "webIdentity":
		server, _, err := rest.Address("the AWS backend's stsEndpoint", c.STSEndpoint)
		if err != nil {
			return nil, err
		}
		out.source = func(ctx context.Context) (*key, error) { return fromSTS(ctx, c, server, client) }
	case "container":
		return out, out.container()
	case "instance":
		imds, err := rest.Client(rest.Options{Plain: true, Only: instance})
		if err != nil {
			return nil, err
		}
		out.source = func(ctx context.Context) (*key, error) { return fromInstance(ctx, imds, "http://"+instance.String()) }
	default:
		return nil, bad("source is not one of environment, file, webIdentity, container and instance")
	}
	return out, nil
}

// key gives one that is good for a while.
func (c *credentials) key(ctx context.Context) (*key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept != nil && !c.kept.end.IsZero() && c.now().Before(c.kept.end.Add(-early)) {
		return c.kept, nil
	}
	k, err := c.source(ctx)
	if err != nil {
		if c.kept != nil && c.now().Before(c.kept.end) && backend.ReasonOf(err) != backend.Refused {
			return c.kept, nil // it has some life left
		}
		return nil, err
	}
	c.kept = k
	return k, nil
}

// drop forgets a key that the service does not take; false: it is from where the same
// would come again.
func (c *credentials) drop(k *key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == k {
		c.kept = nil
	}
	return !k.end.IsZero()
}

func none(msg string) error {
	return backend.Fail(backend.Refused, "the credentials for AWS: "+msg)
}

// minSecret is the least length of a secret key, in bytes. AWS's have 40; with a very
// short one FIPS 140 mode would not sign.
const minSecret = 16

// made checks a key's parts, which go into headers.
func made(name, secret, session []byte, end time.Time) (*key, error) {
	if !safe.Header(name) || !safe.Header(secret) || len(secret) < minSecret || len(session) > 0 && !safe.Header(session) {
		clear(secret)
		clear(session)
		return nil, none("there is no key id with a secret key")
	}
	return &key{sigv4.Key{ID: string(name), Secret: plain.New(secret), Session: plain.New(session)}, end}, nil
}

func fromEnvironment(context.Context) (*key, error) {
	env := func(name string) []byte { return []byte(os.Getenv(name)) }
	return made(env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"), time.Time{})
}

// fromFile reads a profile of the shared credentials file.
func fromFile(path, profile string) (*key, error) {
	raw, err := safe.File(path, 64<<10, 0o027)
	defer clear(raw)
	if err != nil {
		return nil, none(err.Error())
	}
	found, in := map[string][]byte{}, false
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
			found[strings.ToLower(string(bytes.TrimSpace(name)))] = bytes.Clone(bytes.TrimSpace(value))
		}
	}
	return made(found["aws_access_key_id"], found["aws_secret_access_key"], found["aws_session_token"], time.Time{})
}

// maxWord bounds a role's name in a URL.
const maxWord = 128

// fromInstance asks the metadata service, version 2.
func fromInstance(ctx context.Context, client *http.Client, server string) (*key, error) {
	ask := func(method, path string, h http.Header) ([]byte, error) {
		a, err := rest.Do(ctx, client, "the metadata service", rest.Request{Method: method, URL: server + path, Header: h})
		if err != nil {
			return nil, backend.Fail(backend.Away, err.Error())
		}
		if a.Status != http.StatusOK {
			clear(a.Body)
			return nil, none("the metadata service has none")
		}
		return a.Body, nil
	}
	token, err := ask(http.MethodPut, "/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"60"}})
	defer clear(token)
	if err != nil {
		return nil, err
	}
	if !safe.Header(token) {
		return nil, none("the metadata service's token is none")
	}
	h := func() http.Header { return http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}} }
	const path = "/latest/meta-data/iam/security-credentials/"
	role, err := ask(http.MethodGet, path, h())
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(string(role))
	if name == "" || len(name) > maxWord || backend.CheckPath(name) != nil || strings.Contains(name, "/") {
		return nil, none("the instance has no role")
	}
	raw, err := ask(http.MethodGet, path+name, h())
	if err != nil {
		return nil, err
	}
	return fromJSON(raw)
}

// container chooses where a container's credentials are, as the environment says.
func (c *credentials) container() error {
	at := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if rel := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); rel != "" && at == "" {
		at = "http://" + containers[0] + rel
	}
	u, err := url.Parse(at)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
		return bad("source: the environment names no place of a container's")
	}
	o := rest.Options{Plain: u.Scheme == "http"}
	for _, known := range containers {
		if u.Host == known {
			o.Only = netip.MustParseAddr(strings.Trim(known, "[]"))
		}
	}
	if _, _, err := rest.Address("the container's", u.Scheme+"://"+u.Host); err != nil && !o.Only.IsValid() {
		return err
	}
	client, err := rest.Client(o)
	if err != nil {
		return err
	}
	c.source = func(ctx context.Context) (*key, error) { return fromContainer(ctx, client, u.String()) }
	return nil
}

func fromContainer(ctx context.Context, client *http.Client, at string) (*key, error) {
	h := http.Header{}
	if file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		token, err := safe.Credential(file)
		defer clear(token)
		if err != nil {
			return nil, none(err.Error())
		}
		h.Set("Authorization", string(token))
	}
	a, err := rest.Do(ctx, client, "the container's credentials", rest.Request{Method: http.MethodGet, URL: at, Header: h})
	if err != nil {
		return nil, backend.Fail(backend.Away, err.Error())
	}
	if a.Status != http.StatusOK {
		clear(a.Body)
		return nil, none("the container has none")
	}
	return fromJSON(a.Body)
}

// fromJSON reads what the metadata services answer, and wipes it.
func fromJSON(raw []byte) (*key, error) {
	defer clear(raw)
	m, err := object.Members(raw)
	if err != nil {
		return nil, none("the answer is not the JSON that is expected")
	}
	secret, _ := object.Text(m["SecretAccessKey"])
	session, _ := object.Text(m["Token"])
	end, err := time.Parse(time.RFC3339, object.Word(m["Expiration"]))
	if err != nil {
		return nil, none("the answer does not say when they end")
	}
	return made([]byte(object.Word(m["AccessKeyId"])), secret, session, end)
}
