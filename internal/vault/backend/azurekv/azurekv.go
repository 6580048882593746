// Package azurekv is the secrets of an Azure Key Vault, by its REST API.
//
// It refuses an answer whose identifier is not the vault, name and version that were
// asked for, and a secret that is disabled, not valid yet, or expired.
//
// # Security
//
// It signs in at Entra ID in one way that the server's file names: a client secret, an
// assertion that somebody else signed (a workload identity), or the machine's managed
// identity. The token is for key vaults alone.
package azurekv

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bearer"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// Config says which key vault, and how to sign in.
type Config struct {
	Vault  string `yaml:"vault"`            // https://NAME.vault.azure.net
	CAFile string `yaml:"caFile,omitempty"` // the system's certificates when empty
	// Tenant is Entra ID's; of the first two ways to sign in.
	Tenant   string `yaml:"tenant,omitempty"`
	ClientID string `yaml:"clientId,omitempty"`
	// ClientSecretFile has the application's secret.
	ClientSecretFile string `yaml:"clientSecretFile,omitempty"`
	// AssertionFile has a token that Entra ID trusts: of a Kubernetes workload.
	AssertionFile string `yaml:"assertionFile,omitempty"`
	// ManagedIdentity signs in as the machine; as its identity ClientID, where it has
	// several.
	ManagedIdentity bool   `yaml:"managedIdentity,omitempty"`
	Authority       string `yaml:"authority,omitempty"` // https://login.microsoftonline.com when empty
}

const (
	who    = "Azure Key Vault"
	whose  = "the Azure backend's"
	entra  = "Entra ID"
	method = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// instance is where the metadata service is.
var instance = netip.MustParseAddr("169.254.169.254")

var (
	name    = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	version = regexp.MustCompile(`^[0-9a-f]{32}$`)
	guid    = regexp.MustCompile(`^[0-9A-Za-z.-]{1,100}$`)
)

// keyVault is one.
type keyVault struct {
	server string
	http   *http.Client
	tokens *bearer.Keeper
	now    func() time.Time
}

// New checks the configuration. It asks nobody anything.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	server, plainHTTP, err := rest.Address(whose+" vault", c.Vault)
	if err != nil {
		return nil, err
	}
	k := &keyVault{server: strings.ToLower(server), now: now}
	if k.http, err = rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Plain: plainHTTP, Keep: true}); err != nil {
		return nil, err
	}
	source, err := signIn(c, k.http, scopeOf(k.server))
	if err != nil {
		return nil, err
	}
	k.tokens = bearer.New(entra, now, source)
	return k, nil
}

// scopeOf is what a token is for: the key vaults of a cloud.
func scopeOf(server string) string {
	if i := strings.Index(server, ".vault."); i > 0 {
		return "https://" + server[i+1:]
	}
	return "https://vault.azure.net"
}

// signIn chooses the one way that is configured.
func signIn(c Config, client *http.Client, scope string) (func(context.Context) (rest.Answer, error), error) {
	bad := func(msg string) error {
		return fault.New(fault.Invalid, whose+" "+msg).WithHint("docs/bring-your-own-vault.md has an example")
	}
	ways := 0
	for _, is := range []bool{c.ClientSecretFile != "", c.AssertionFile != "", c.ManagedIdentity} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return nil, bad("sign-in is missing or there twice: name one of clientSecretFile, assertionFile and managedIdentity")
	}
	if c.ClientID != "" && !guid.MatchString(c.ClientID) || !c.ManagedIdentity && (c.ClientID == "" || !guid.MatchString(c.Tenant)) {
		return nil, bad("tenant or clientId is not one")
	}
	if c.ManagedIdentity {
		imds, err := rest.Client(rest.Options{Plain: true, Only: instance})
		return func(ctx context.Context) (rest.Answer, error) {
			return managed(ctx, imds, "http://"+instance.String(), c.ClientID, scope)
		}, err
	}
	if c.Authority == "" {
		c.Authority = "https://login.microsoftonline.com"
	}
	authority, _, err := rest.Address(whose+" authority", c.Authority)
	if err != nil {
		return nil, err
	}
	at := authority + "/" + c.Tenant + "/oauth2/v2.0/token"
	return func(ctx context.Context) (rest.Answer, error) { return application(ctx, client, at, c, scope) }, nil
}

// managed asks the metadata service.
func managed(ctx context.Context, client *http.Client, server, clientID, scope string) (rest.Answer, error) {
	q := url.Values{"api-version": {"2018-02-01"}, "resource": {scope}}
	if clientID != "" {
		q.Set("client_id", clientID)
	}
	return bearer.Metadata(ctx, client, server+"/metadata/identity/oauth2/token?"+q.Encode(), http.Header{"Metadata": {"true"}})
}

// application signs in with the secret or the assertion, read from its file now.
func application(ctx context.Context, client *http.Client, at string, c Config, scope string) (rest.Answer, error) {
	file := c.ClientSecretFile + c.AssertionFile
	credential, err := safe.Credential(file)
	defer clear(credential)
	if err != nil {
		return rest.Answer{}, backend.Fail(backend.Refused, "the credential for "+entra+": "+err.Error())
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "scope": {scope + "/.default"}}
	if c.AssertionFile != "" {
		form.Set("client_assertion_type", method)
		form.Set("client_assertion", string(credential))
	} else {
		form.Set("client_secret", string(credential))
	}
	return bearer.Form(ctx, client, entra, at, form)
}

// Named: a secret there is one value.
func (*keyVault) Named() bool { return false }

// Check takes a secret's name, and a version's id.
func (*keyVault) Check(a backend.Ask) error {
	if !name.MatchString(a.Path) || a.Version != "" && !version.MatchString(a.Version) {
		return fault.New(fault.Invalid, "a path in Azure Key Vault is a secret's name; a version has 32 hexadecimal digits")
	}
	return nil
}

// Fetch reads one version.
func (k *keyVault) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	got, err := k.tokens.Do(ctx, k.http, who, rest.Request{Method: http.MethodGet, URL: k.server + "/secrets/" + a.Path + "/" + a.Version + "?api-version=7.4"})
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if err := backend.Judge(who, got, "the identity needs to get secrets of the key vault, and the secret has to be enabled; docs/bring-your-own-vault.md has the role"); err != nil {
		return out, err
	}
	plain.Do(func() { out, err = read(got.Body, k.server, a, k.now()) })
	return out, err
}

// read takes an answer, where it is the one that was asked for.
func read(raw []byte, server string, a backend.Ask, now time.Time) (out backend.Answer, err error) {
	wrong := func(msg string) (backend.Answer, error) {
		return backend.Answer{}, backend.Fail(backend.Wrong, who+"'s answer "+msg)
	}
	m, err := object.Members(raw)
	if err != nil {
		return wrong("is not the JSON that is expected")
	}
	id, ok := strings.CutPrefix(strings.ToLower(object.Word(m["id"])), server+"/secrets/"+strings.ToLower(a.Path)+"/")
	if !ok || !version.MatchString(id) || a.Version != "" && id != a.Version {
		return wrong("is for another secret or version than was asked for")
	}
	attributes, err := object.Members(m["attributes"])
	if err != nil || string(attributes["enabled"]) != "true" {
		return wrong("does not say that the secret is enabled")
	}
	if from, ok := object.Number(attributes["nbf"]); ok && now.Unix() < from {
		return backend.Answer{}, backend.Fail(backend.Refused, "the secret in "+who+" is not valid yet")
	}
	out.Version = id
	if end, ok := object.Number(attributes["exp"]); ok {
		out.NotAfter = time.Unix(end, 0)
	}
	b, ok := object.Text(m["value"])
	if !ok || len(b) == 0 {
		return wrong("has no value")
	}
	out.Fields = backend.OneValue(b)
	return out, nil
}
