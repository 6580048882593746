package resource

import (
	"net"
	"net/url"
	"strings"

	"sallyport.dev/internal/fault"
)

// Origin is a scheme, a host and a port: where a credential may go, and nowhere
// else. Two Origins are compared with ==.
type Origin struct {
	Scheme string `json:"scheme"` // "https" or "http"
	Host   string `json:"host"`   // host:port, lower case, the port always given
}

// String is "scheme://host:port".
func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// ParseOrigin takes the origin of a URL. Refused, with kind Invalid: a scheme
// other than https and http, user information, an empty host, a host that is
// not plain ASCII (a look-alike name).
func ParseOrigin(u *url.URL) (Origin, error) {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return Origin{}, fault.Newf(fault.Invalid, "the URL's scheme %q is not https or http", fault.Quote(u.Scheme))
	case u.User != nil:
		return Origin{}, fault.New(fault.Invalid, "the URL carries a user name or password").
			WithHint("store the credential as a Secret and name it in a Connection")
	case host == "":
		return Origin{}, fault.New(fault.Invalid, "the URL has no host")
	case strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || r == '%' }):
		return Origin{}, fault.New(fault.Invalid, "the URL's host is not plain ASCII; use its xn-- form")
	}
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return Origin{Scheme: u.Scheme, Host: net.JoinHostPort(strings.TrimSuffix(host, "."), port)}, nil
}
