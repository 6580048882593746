// Package bao talks to a Vault or OpenBao server: it signs in, keeps the token
// alive, and sends requests with it.
//
// It refuses an address of plain HTTP to another machine, more or less than one way
// to sign in, and a path or namespace that would have to be escaped. What a server
// answers is judged by its status; of its words it repeats none.
//
// # Security
//
// A token is in memory alone. It is got by one sign-in however many wait for it,
// renewed while it can be, and got anew when the server does not take it any more.
// Credentials for the sign-in are read from their files each time, so that whoever
// renews them there needs no restart.
package bao

import (
	"crypto/tls"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// Config says which server, and how to sign in there: one of the five ways.
type Config struct {
	// Address is https://host:port; http on loopback only.
	Address string `yaml:"address"`
	// Namespace is sent as X-Vault-Namespace; empty: none.
	Namespace string `yaml:"namespace,omitempty"`
	// CAFile has the certificates, PEM, that alone are trusted for the server;
	// empty: those of the system.
	CAFile string `yaml:"caFile,omitempty"`
	// TokenFile has a token: of the server's own agent, say.
	TokenFile   string       `yaml:"tokenFile,omitempty"`
	AppRole     *AppRole     `yaml:"appRole,omitempty"`
	Kubernetes  *JWT         `yaml:"kubernetes,omitempty"`
	JWT         *JWT         `yaml:"jwt,omitempty"`
	Certificate *Certificate `yaml:"certificate,omitempty"`
}

// AppRole is a machine's sign-in.
type AppRole struct {
	Mount        string `yaml:"mount,omitempty"` // below auth/; "approle" when empty
	RoleID       string `yaml:"roleId"`
	SecretIDFile string `yaml:"secretIdFile"`
}

// JWT is a sign-in by a token that somebody else signed: of a Kubernetes service
// account, or of any issuer that the server trusts.
type JWT struct {
	Mount   string `yaml:"mount,omitempty"` // below auth/; "kubernetes" or "jwt" when empty
	Role    string `yaml:"role"`
	JWTFile string `yaml:"jwtFile,omitempty"` // for kubernetes: the service account's when empty
}

// Certificate is a sign-in by a TLS client certificate.
type Certificate struct {
	Mount    string `yaml:"mount,omitempty"` // below auth/; "cert" when empty
	Role     string `yaml:"role,omitempty"`  // empty: the server finds it by the certificate
	CertFile string `yaml:"certFile"`
	KeyFile  string `yaml:"keyFile"`
}

// serviceAccount is where Kubernetes puts the token of a pod.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Path is what a mount, a namespace and a role's name look like.
var Path = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}){0,7}$`)

// Server is one, with one sign-in. Safe for concurrent use.
type Server struct {
	cfg    Config
	server string // "https://host:port"
	http   *http.Client
	enter  *http.Client // for sign-ins: with a certificate, each on a new connection
	login  login
	now    func() time.Time

	mu     sync.Mutex
	token  *token
	flight *flight // the sign-in under way, or nil
}

// token is one that the server gave. It is never changed.
type token struct {
	value plain.Value
	got   time.Time
	lives time.Duration // 0: it doesn't say
	renew bool
}

// New checks the configuration. It asks the server nothing.
func New(c Config, now func() time.Time) (*Server, error) {
	const whose = "the Vault server's"
	server, plainHTTP, err := rest.Address(whose, c.Address)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: c, server: server, now: now}
	if s.login, err = c.way(); err != nil {
		return nil, err
	}
	if c.Namespace != "" && !Path.MatchString(strings.TrimSuffix(c.Namespace, "/")) {
		return nil, bad("namespace is not a path of plain words")
	}
	o := rest.Options{Whose: whose, CAFile: c.CAFile, Plain: plainHTTP, Keep: true}
	if cert := c.Certificate; cert != nil {
		if plainHTTP {
			return nil, bad("sign-in by certificate needs https")
		}
		o.Certificate = func() (*tls.Certificate, error) { return keyPair(*cert) }
		if _, err := keyPair(*cert); err != nil {
			return nil, err
		}
	}
	if s.http, err = rest.Client(o); err != nil {
		return nil, err
	}
	// A connection that is kept goes on showing the certificate that it began with.
	s.enter, o.Keep = s.http, false
	if c.Certificate != nil {
		s.enter, err = rest.Client(o)
	}
	return s, err
}

// keyPair reads the client's certificate, at each handshake.
func keyPair(c Certificate) (*tls.Certificate, error) {
	cert, err := safe.File(c.CertFile, 1<<20, 0o022)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "the client certificate", err)
	}
	key, err := safe.Secret(c.KeyFile, 1<<20)
	defer clear(key)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "the client certificate's key", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the client certificate and its key are not a pair in PEM")
	}
	return &pair, nil
}

func bad(msg string) error {
	return fault.New(fault.Invalid, "the Vault server's "+msg).WithHint("docs/bring-your-own-vault.md has an example")
}

// way gives the one sign-in that is configured.
func (c Config) way() (login, error) {
	var ways []login
	var err error
	add := func(l login, mount *string, def, role string, named bool) {
		if *mount == "" {
			*mount = def
		}
		if !Path.MatchString(*mount) || named && role == "" || role != "" && !safe.Header([]byte(role)) {
			err = bad("sign-in has no proper mount or role")
		}
		ways = append(ways, l)
	}
	if c.TokenFile != "" {
		ways = append(ways, tokenLogin{c.TokenFile})
	}
	if c.AppRole != nil {
		r := *c.AppRole
		add(appRoleLogin{&r}, &r.Mount, "approle", r.RoleID, true)
		if r.SecretIDFile == "" {
			err = bad("appRole has no secretIdFile")
		}
	}
	for def, j := range map[string]*JWT{"kubernetes": c.Kubernetes, "jwt": c.JWT} {
		if j == nil {
			continue
		}
		j := *j
		if j.JWTFile == "" && def == "kubernetes" {
			j.JWTFile = serviceAccount
		}
		add(jwtLogin{&j}, &j.Mount, def, j.Role, true)
		if j.JWTFile == "" {
			err = bad("jwt has no jwtFile")
		}
	}
	if c.Certificate != nil {
		t := *c.Certificate
		add(certLogin{&t}, &t.Mount, "cert", t.Role, false)
	}
	if len(ways) != 1 {
		return nil, bad("sign-in is missing or there twice: name one of tokenFile, appRole, kubernetes, jwt and certificate")
	}
	return ways[0], err
}
