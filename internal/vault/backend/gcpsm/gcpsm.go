// Package gcpsm is Google Secret Manager, by its REST API.
//
// It refuses an answer whose name is not the secret and version that were asked for,
// and a value whose checksum is not the one that comes with it.
//
// # Security
//
// An answer names the project by its number, which the configuration may not have: give
// projectNumber to have that compared too. It signs in with a service account's key, or
// as the machine; the token is for the cloud platform, and what it may is what IAM says.
package gcpsm

import (
	"context"
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bearer"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
)

// Config says which project, and how to sign in.
type Config struct {
	Project string `yaml:"project"` // its id
	// ProjectNumber is compared with answers; 0: any.
	ProjectNumber int64  `yaml:"projectNumber,omitempty"`
	Endpoint      string `yaml:"endpoint,omitempty"` // https://secretmanager.googleapis.com when empty
	CAFile        string `yaml:"caFile,omitempty"`   // the system's certificates when empty
	// KeyFile is a service account's key, JSON; without it the machine signs in, as the
	// account that it has (on GKE: the workload's).
	KeyFile string `yaml:"keyFile,omitempty"`
}

const (
	who   = "Google Secret Manager"
	whose = "the Google backend's"
)

// instance is where the metadata service is.
var instance = netip.MustParseAddr("169.254.169.254")

var (
	project = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	secret  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	alias   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
)

// manager is one project.
type manager struct {
	cfg    Config
	server string
	http   *http.Client
	tokens *bearer.Keeper
}

// New checks the configuration. It asks nobody anything.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	if !project.MatchString(c.Project) || c.ProjectNumber < 0 {
		return nil, fault.New(fault.Invalid, whose+" project is not the id of one").WithHint("docs/bring-your-own-vault.md has an example")
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://secretmanager.googleapis.com"
	}
	server, plainHTTP, err := rest.Address(whose, c.Endpoint)
	if err != nil {
		return nil, err
	}
	m := &manager{cfg: c, server: server}
	if m.http, err = rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Plain: plainHTTP, Keep: true}); err != nil {
		return nil, err
	}
	if c.KeyFile != "" {
		m.tokens = bearer.New("Google's token endpoint", now, func(ctx context.Context) (rest.Answer, error) { return withKey(ctx, m.http, c.KeyFile, now()) })
		return m, nil
	}
	metadata, err := rest.Client(rest.Options{Plain: true, Only: instance})
	m.tokens = bearer.New("the metadata service", now, func(ctx context.Context) (rest.Answer, error) {
		return bearer.Metadata(ctx, metadata, "http://"+instance.String()+"/computeMetadata/v1/instance/service-accounts/default/token", http.Header{"Metadata-Flavor": {"Google"}})
	})
	return m, err
}

// Ready looks at the key's file.
func (m *manager) Ready() error {
	return backend.Readable("the service account's key", maxKey, m.cfg.KeyFile)
}

// Enter gets a token, and asks the service nothing: every question there is about one
// secret.
func (m *manager) Enter(ctx context.Context) (string, error) {
	if err := m.tokens.Try(ctx); err != nil {
		return "", err
	}
	return "signed in; the project was not asked for anything", nil
}

// Named: a secret there is one value.
func (*manager) Named() bool { return false }

// Check takes a secret's name, and a version's number or alias.
func (*manager) Check(a backend.Ask) error {
	if !secret.MatchString(a.Path) || a.Version != "" && !alias.MatchString(a.Version) {
		return fault.New(fault.Invalid, "a path in Google Secret Manager is a secret's name in the backend's project; a version is a number or an alias")
	}
	return nil
}

// Fetch reads one version.
func (m *manager) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	version := a.Version
	if version == "" {
		version = "latest"
	}
	got, err := m.tokens.Do(ctx, m.http, who, rest.Request{Method: http.MethodGet, URL: m.server + "/v1/projects/" + m.cfg.Project + "/secrets/" + a.Path + "/versions/" + version + ":access"})
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if got.Status == http.StatusBadRequest && refusal(got.Body) == "FAILED_PRECONDITION" {
		return out, backend.Fail(backend.Missing, "the version in "+who+" is disabled or destroyed")
	}
	if err := backend.Judge(who, got, "the account needs the role Secret Manager Secret Accessor on the secret; docs/bring-your-own-vault.md has the command"); err != nil {
		return out, err
	}
	plain.Do(func() { out, err = m.read(got.Body, a) })
	return out, err
}

// refusal is the one word of an error that is looked at.
func refusal(raw []byte) string {
	m, err := object.Inside(raw, "error")
	if err != nil {
		return ""
	}
	return object.Word(m["status"])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// read takes an answer, where it is the one that was asked for.
func (m *manager) read(raw []byte, a backend.Ask) (out backend.Answer, err error) {
	wrong := func(msg string) (backend.Answer, error) {
		return backend.Answer{}, backend.Fail(backend.Wrong, who+"'s answer "+msg)
	}
	f, err := object.Members(raw)
	if err != nil {
		return wrong("is not the JSON that is expected")
	}
	part := strings.Split(object.Word(f["name"]), "/") // projects/N/secrets/S/versions/V
	if len(part) != 6 || part[0] != "projects" || part[2] != "secrets" || part[3] != a.Path || part[4] != "versions" || !m.ours(part[1]) {
		return wrong("is for another secret than was asked for")
	}
	_, number := strconv.ParseUint(part[5], 10, 32)
	if _, asked := strconv.ParseUint(a.Version, 10, 32); number != nil || asked == nil && part[5] != a.Version {
		return wrong("is of another version than was asked for")
	}
	payload, err := object.Members(f["payload"])
	if err != nil {
		return wrong("has no value")
	}
	coded, ok := object.Text(payload["data"])
	b := make([]byte, base64.StdEncoding.DecodedLen(len(coded)))
	n, err := base64.StdEncoding.Strict().Decode(b, coded)
	clear(coded)
	want, sum := strconv.ParseUint(object.Word(payload["dataCrc32c"]), 10, 32)
	if !ok || err != nil || n == 0 || sum != nil || crc32.Checksum(b[:n], castagnoli) != uint32(want) {
		clear(b)
		return wrong("has a value that is not the one of its checksum")
	}
	return backend.Answer{Fields: backend.OneValue(b[:n]), Version: part[5]}, nil
}

// ours reports whether a project's number, or its id, is the configured one's.
func (m *manager) ours(project string) bool {
	if project == m.cfg.Project {
		return true
	}
	n, err := strconv.ParseInt(project, 10, 64)
	return err == nil && n > 0 && (m.cfg.ProjectNumber == 0 || n == m.cfg.ProjectNumber)
}
