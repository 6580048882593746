// Package azurekv is the secrets of an Azure Key Vault, by Microsoft's own SDK: it makes
// the requests, answers the vault's challenge and reads the answers. The values in them
// it never gets (see package sieve).
//
// It refuses an answer whose identifier is not the vault, name and version that were
// asked for, and a secret that is disabled, not valid yet, or expired. The SDK repeats
// nothing: when to ask again is the vault's to say.
//
// # Security
//
// It signs in at Entra ID in one way that the server's file names: a client secret, a
// certificate, an assertion that somebody else signed (a workload identity), or the
// machine's managed identity; at the authority that the file names. The token is for
// the key vaults of the vault's own cloud alone, whatever a challenge asks for. What
// signs in, and the token, are strings of the SDK's, and live until they are collected.
package azurekv

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sieve"
)

// Config says which key vault, and how to sign in.
type Config struct {
	Vault  string `yaml:"vault"`            // https://NAME.vault.azure.net
	CAFile string `yaml:"caFile,omitempty"` // the system's certificates when empty
	// Tenant is Entra ID's; of every way to sign in but the last.
	Tenant   string `yaml:"tenant,omitempty"`
	ClientID string `yaml:"clientId,omitempty"`
	// ClientSecretFile has the application's secret.
	ClientSecretFile string `yaml:"clientSecretFile,omitempty"`
	// ClientCertificateFile has the application's certificate and its RSA key, PEM.
	ClientCertificateFile string `yaml:"clientCertificateFile,omitempty"`
	// SendChain sends the certificate along: where Entra ID knows its issuer and
	// subject, and not the certificate itself.
	SendChain bool `yaml:"sendCertificateChain,omitempty"`
	// AssertionFile has a token that Entra ID trusts: of a Kubernetes workload.
	AssertionFile string `yaml:"assertionFile,omitempty"`
	// ManagedIdentity signs in as the machine; as its identity ClientID, where it has
	// several.
	ManagedIdentity bool   `yaml:"managedIdentity,omitempty"`
	Authority       string `yaml:"authority,omitempty"` // https://login.microsoftonline.com when empty
}

const (
	who   = "Azure Key Vault"
	whose = "the Azure backend's"
)

var (
	address = regexp.MustCompile(`^https://[0-9a-z-]{3,24}\.(vault\.[0-9a-z.-]+)$`)
	name    = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	version = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// The SDK logs to standard error where the environment asks it to. Ours is injected, so
// it doesn't.
func init() { azlog.SetListener(nil) }

// keyVault is one.
type keyVault struct {
	cfg    Config
	login  login
	server string
	client *azsecrets.Client
	now    func() time.Time
}

// New checks the configuration. It asks nobody anything.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	client, err := rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Keep: true})
	if err != nil {
		return nil, err
	}
	return over(c, client, now)
}

// over makes it of a client.
func over(c Config, client *http.Client, now func() time.Time) (backend.Backend, error) {
	server, _, err := rest.Address(whose+" vault", c.Vault)
	if err != nil {
		return nil, err
	}
	server = strings.ToLower(server)
	cloud := address.FindStringSubmatch(server)
	if cloud == nil {
		return nil, bad("vault is not the address of one, like https://acme-prod.vault.azure.net")
	}
	resource := "https://" + cloud[1]
	way, err := signIn(c, client)
	if err != nil {
		return nil, err
	}
	mesh := sieve.Mesh{Members: []string{"id", "attributes"}, Values: []string{"value"}, Headers: []string{"Content-Type", "Www-Authenticate"}, Check: challenge(resource)}
	secrets, err := azsecrets.NewClient(server, login{way, resource}, &azsecrets.ClientOptions{ClientOptions: options(sieve.New(client, who, server, mesh))})
	if err != nil {
		return nil, bad("vault is not one that the SDK takes")
	}
	return &keyVault{cfg: c, login: login{way, resource}, server: server, client: secrets, now: now}, nil
}

// options are of every client of the SDK's.
func options(t policy.Transporter) azcore.ClientOptions {
	return azcore.ClientOptions{Transport: t, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true}}
}

func bad(msg string) error {
	return fault.New(fault.Invalid, whose+" "+msg).WithHint("docs/bring-your-own-vault.md has an example")
}

// asked is what a vault says to who has no token that it takes: where to get one, and
// for what. More may follow.
var asked = regexp.MustCompile(`^Bearer (authorization="https://[0-9A-Za-z.-]+/[0-9A-Za-z.-]+"),? resource="([^" ]+)"($|,)`)

// challenge refuses one that is not for a key vault of this cloud. The SDK reads them
// loosely, would take another resource out of a word that follows, and ends the program
// over an address without a tenant: it gets the two parts that it needs, and no more.
func challenge(resource string) func(a rest.Answer) error {
	return func(a rest.Answer) error {
		all := a.Header.Values("Www-Authenticate")
		if a.Status != http.StatusUnauthorized || len(all) == 0 {
			a.Header.Del("Www-Authenticate")
			return nil
		}
		m := asked.FindStringSubmatch(all[0])
		if len(all) != 1 || m == nil || m[2] != resource {
			return backend.Fail(backend.Wrong, who+" asks for a token that is not for a key vault of its cloud")
		}
		a.Header.Set("Www-Authenticate", "Bearer "+m[1]+`, resource="`+resource+`"`)
		return nil
	}
}

// Ready looks at the credential's file.
func (k *keyVault) Ready() error {
	return backend.Readable("the credential for "+entra, 64<<10, k.cfg.ClientSecretFile, k.cfg.ClientCertificateFile, k.cfg.AssertionFile)
}

// Enter gets a token, and asks the vault nothing: what it can be asked with the role is
// about one secret.
func (k *keyVault) Enter(ctx context.Context) (string, error) {
	if _, err := k.login.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{k.login.resource + "/.default"}}); err != nil {
		return "", err
	}
	return "signed in; the key vault was not asked for anything", nil
}

// Named: a secret there is one value.
func (*keyVault) Named() bool { return false }

// maxName is the most bytes of a secret's name.
const maxName = 127

// Check takes a secret's name, and a version's id.
func (*keyVault) Check(a backend.Ask) error {
	if !name.MatchString(a.Path) || len(a.Path) > maxName || a.Version != "" && !version.MatchString(a.Version) {
		return fault.New(fault.Invalid, "a path in Azure Key Vault is a secret's name; a version has 32 hexadecimal digits")
	}
	return nil
}

// Fetch reads one version.
func (k *keyVault) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	ctx, catch := sieve.Into(ctx)
	defer catch.Wipe()
	got, err := k.client.GetSecret(ctx, a.Path, a.Version, nil)
	if err != nil {
		return out, judge(err, catch)
	}
	plain.Do(func() { out, err = k.read(got.Secret, catch, a) })
	return out, err
}

// judge sorts an error by its status. The SDK's own words about it are not repeated.
func judge(err error, catch *sieve.Catch) error {
	if why := reason(err, catch); why != nil {
		return why
	}
	if err := backend.Judge(who, catch.Answer(), "the identity needs to get secrets of the key vault, and the secret has to be enabled; docs/bring-your-own-vault.md has the role"); err != nil {
		return err
	}
	return backend.Fail(backend.Wrong, who+"'s answer is not the JSON that is expected (status "+strconv.Itoa(catch.Status)+")")
}

// read takes an answer, where it is the one that was asked for.
func (k *keyVault) read(got azsecrets.Secret, catch *sieve.Catch, a backend.Ask) (out backend.Answer, err error) {
	fail := func(r backend.Reason, msg string) (backend.Answer, error) {
		return backend.Answer{}, backend.Fail(r, msg)
	}
	id, ok := "", false
	if got.ID != nil {
		id, ok = strings.CutPrefix(strings.ToLower(string(*got.ID)), k.server+"/secrets/"+strings.ToLower(a.Path)+"/")
	}
	if !ok || !version.MatchString(id) || a.Version != "" && id != a.Version {
		return fail(backend.Wrong, who+"'s answer is for another secret or version than was asked for")
	}
	about := got.Attributes
	if about == nil || about.Enabled == nil || !*about.Enabled {
		return fail(backend.Wrong, who+"'s answer does not say that the secret is enabled")
	}
	if now := k.now(); about.NotBefore != nil && now.Before(*about.NotBefore) {
		return fail(backend.Refused, "the secret in "+who+" is not valid yet")
	} else if about.Expires != nil && !now.Before(*about.Expires) {
		return fail(backend.Refused, "the secret in "+who+" has expired")
	}
	out.Version = id
	if about.Expires != nil {
		out.NotAfter = *about.Expires
	}
	b, ok := catch.Take("value")
	if !ok || len(b) == 0 {
		clear(b)
		return fail(backend.Wrong, who+"'s answer has no value")
	}
	out.Fields = backend.OneValue(b)
	return out, nil
}
