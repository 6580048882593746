package azurekv

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
	"sallyport.dev/internal/vault/internal/sieve"
)

const entra = "Entra ID"

// instance is where the metadata service is.
var instance = netip.MustParseAddr("169.254.169.254")

// Ids of clients, and of tenants: one has a dash or is a domain. "common", "adfs" and
// their like are none.
var (
	client = regexp.MustCompile(`^[0-9A-Za-z.-]+$`)
	tenant = regexp.MustCompile(`^[0-9A-Za-z]+([.-][0-9A-Za-z-]+)+$`)
)

// way gets a token for key vaults. Errors are a *backend.Error.
type way func(ctx context.Context, resource string) (azcore.AccessToken, error)

// login is what the SDK asks for tokens. The SDK keeps one while it is good, and asks
// again when the vault refuses it; then the credential is read again, too.
type login struct {
	way      way
	resource string
}

// GetToken gets one from where the server's file says, for key vaults and nothing else.
// What the vault says about tenants is not followed, and a claim that a token has to
// have is none that we could make.
func (l login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != l.resource+"/.default" || o.Claims != "" {
		return azcore.AccessToken{}, backend.Fail(backend.Wrong, who+" asks for a token that is not for a key vault of its cloud")
	}
	t, err := l.way(ctx, l.resource)
	if err == nil && !safe.Header([]byte(t.Token)) {
		err = backend.Fail(backend.Wrong, entra+"'s answer has no token that a request can have")
	}
	return t, err
}

// reason is the error that we made ourselves, where the SDK only hands it on.
func reason(err error, catch *sieve.Catch) error {
	if catch.Err() != nil {
		return catch.Err()
	}
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e
	}
	return nil
}

// signIn chooses the one way that is configured.
func signIn(c Config, with *http.Client) (way, error) {
	ways := 0
	for _, is := range []bool{c.ClientSecretFile != "", c.ClientCertificateFile != "", c.AssertionFile != "", c.ManagedIdentity} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return nil, bad("sign-in is missing or there twice: name one of clientSecretFile, clientCertificateFile, assertionFile and managedIdentity")
	}
	if c.ClientID != "" && !client.MatchString(c.ClientID) || !c.ManagedIdentity && (c.ClientID == "" || !tenant.MatchString(c.Tenant)) {
		return nil, bad("tenant or clientId is not one")
	}
	if c.ManagedIdentity {
		imds, err := rest.Client(rest.Options{Plain: true, Only: instance})
		return func(ctx context.Context, resource string) (azcore.AccessToken, error) {
			return managed(ctx, imds, "http://"+instance.String(), c.ClientID, resource)
		}, err
	}
	if c.Authority == "" {
		c.Authority = cloud.AzurePublic.ActiveDirectoryAuthorityHost
	}
	authority, plain, err := rest.Address(whose+" authority", c.Authority)
	if err == nil && plain {
		err = bad("authority is plain HTTP")
	}
	if err != nil {
		return nil, err
	}
	o := options(sieve.New(with, entra, authority, sieve.Mesh{Whole: true, Headers: []string{"Content-Type"}}))
	// Named, so that the environment is not asked for it.
	o.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: authority + "/", Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}}
	return func(ctx context.Context, resource string) (azcore.AccessToken, error) {
		return application(ctx, c, o, resource)
	}, nil
}

// regional are variables that lead Microsoft's library to the Entra ID of a region. For
// one of their values it asks the metadata service which, past the transport that it
// was given: through proxies of the environment, and without a bound.
var regional = []string{"AZURE_REGIONAL_AUTHORITY_NAME", "MSAL_FORCE_REGION"}

// application signs in with what is in the file now. The SDK's credential is made for
// this one time: it would keep the secret, and go on giving a token that was revoked.
func application(ctx context.Context, c Config, o azcore.ClientOptions, resource string) (azcore.AccessToken, error) {
	for _, name := range regional {
		if os.Getenv(name) != "" {
			return azcore.AccessToken{}, backend.Fail(backend.Wrong, "the environment would have another server than "+entra+"'s asked, and nobody is").
				WithHint("take " + name + " out of the server's environment")
		}
	}
	ctx, catch := sieve.Into(ctx)
	credential, err := credentialOf(c, o)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	t, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
	if err == nil {
		return t, nil
	}
	if why := reason(err, catch); why != nil {
		return t, why
	}
	return t, noToken(entra, catch.Answer())
}

// credentialOf makes the SDK's credential of the one that is configured. No tenant but the
// configured one can be asked, and nobody is asked whether the authority is one: the
// server's file says so.
func credentialOf(c Config, o azcore.ClientOptions) (azcore.TokenCredential, error) {
	refused := func(err error) (azcore.TokenCredential, error) {
		return nil, backend.FailOf(backend.Refused, "the credential for "+entra, err)
	}
	if c.ClientCertificateFile != "" {
		chain, key, err := certificate(c.ClientCertificateFile)
		if err != nil {
			return refused(err)
		}
		made, err := azidentity.NewClientCertificateCredential(c.Tenant, c.ClientID, chain, key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true, SendCertificateChain: c.SendChain})
		return taken(made, err)
	}
	secret, err := safe.Credential(c.ClientSecretFile + c.AssertionFile)
	defer clear(secret)
	if err != nil {
		return refused(err)
	}
	text := string(secret)
	if c.ClientSecretFile != "" {
		made, err := azidentity.NewClientSecretCredential(c.Tenant, c.ClientID, text, &azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		return taken(made, err)
	}
	give := func(context.Context) (string, error) { return text, nil }
	made, err := azidentity.NewClientAssertionCredential(c.Tenant, c.ClientID, give, &azidentity.ClientAssertionCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
	return taken(made, err)
}

// taken is a credential that the SDK takes.
func taken[T azcore.TokenCredential](made T, err error) (azcore.TokenCredential, error) {
	if err != nil {
		return nil, backend.Fail(backend.Refused, "the credential for "+entra+" is not one that it takes")
	}
	return made, nil
}

// minRSA is the least length of a certificate's key, in bits.
const minRSA = 2048

// certificate reads the application's certificate and key.
func certificate(path string) ([]*x509.Certificate, *rsa.PrivateKey, error) {
	raw, err := safe.Secret(path, 64<<10)
	defer clear(raw)
	if err != nil {
		return nil, nil, err
	}
	none := errors.New("the file has no certificate with its RSA key of 2048 bits or more, in PEM")
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return nil, nil, none // the cause may quote the file
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < minRSA {
		return nil, nil, none
	}
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, none
		}
		chain = append(chain, c)
	}
	return chain, key, nil
}

// noToken sorts why there is no token. What was written about it is not repeated.
func noToken(from string, a rest.Answer) error {
	if a.Status == http.StatusTooManyRequests || a.Status >= http.StatusInternalServerError {
		return backend.Fail(backend.Away, from+" can't answer now").Later(rest.RetryAfter(a.Header))
	}
	return backend.Fail(backend.Refused, from+" gives us no token")
}

// managed asks the metadata service, at its one address. It is ours: the SDK's client
// asks whatever half a dozen variables of the environment name, as who they say, and
// keeps the tokens for the whole process.
func managed(ctx context.Context, with *http.Client, server, clientID, resource string) (out azcore.AccessToken, err error) {
	const from = "the metadata service"
	q := url.Values{"api-version": {"2018-02-01"}, "resource": {resource}}
	if clientID != "" {
		q.Set("client_id", clientID)
	}
	a, err := rest.Do(ctx, with, from, rest.Request{Method: http.MethodGet, URL: server + "/metadata/identity/oauth2/token?" + q.Encode(), Header: http.Header{"Metadata": {"true"}}})
	if err != nil {
		return out, backend.FailOf(backend.Away, "", err)
	}
	defer clear(a.Body)
	if a.Status != http.StatusOK {
		return out, noToken(from, a)
	}
	m, err := object.Members(a.Body)
	seconds, ok := object.Number([]byte(strings.Trim(string(m["expires_in"]), `"`))) // some say it as a text
	if err != nil || !ok || seconds < 1 || seconds > 7*24*3600 || object.Word(m["access_token"]) == "" {
		return out, backend.Fail(backend.Wrong, from+"'s answer has no token with an end")
	}
	return azcore.AccessToken{Token: object.Word(m["access_token"]), ExpiresOn: time.Now().Add(time.Duration(seconds) * time.Second)}, nil
}
