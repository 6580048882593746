package dial

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Base checks an Integration's base URL against its network rules, as far as
// that goes without resolving: kind Invalid for plain HTTP to anything but
// loopback, a query or fragment, a path that is not in its plain form, a
// number that some resolvers read as an address, or an address literal that
// could never be dialled.
func Base(raw string, n resource.Network) (resource.Origin, *url.URL, error) {
	r, err := parse(n)
	if err != nil {
		return resource.Origin{}, nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The parser's text repeats the URL, which may hold a password.
		return resource.Origin{}, nil, fault.New(fault.Invalid, "the base URL can't be read")
	}
	o, err := resource.ParseOrigin(u)
	if err != nil {
		return resource.Origin{}, nil, fault.Wrap(fault.Invalid, "the base URL", err)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return resource.Origin{}, nil, fault.New(fault.Invalid, "the base URL has a query or a fragment")
	}
	if !plainPath(u) {
		return resource.Origin{}, nil, fault.New(fault.Invalid, "the base URL's path has an escape, a backslash, an empty or a dot segment")
	}
	return o, u, checkHost(o, u.Scheme == "http", r)
}

// URL writes an origin as a request's URL begins: without the port that its
// scheme has anyway, which some systems don't expect in Host.
func URL(o resource.Origin) string {
	port := map[string]string{"https": ":443", "http": ":80"}[o.Scheme]
	return o.Scheme + "://" + strings.TrimSuffix(o.Host, port)
}

func plainPath(u *url.URL) bool {
	p := strings.TrimSuffix(u.EscapedPath(), "/")
	if strings.ContainsAny(p, "%\\") || u.RawPath != "" {
		return false
	}
	for i, s := range strings.Split(p, "/") {
		if s == "." || s == ".." || s == "" && i > 0 {
			return false
		}
	}
	return true
}

func checkHost(o resource.Origin, plain bool, r rules) error {
	host, _, err := net.SplitHostPort(o.Host)
	if err != nil {
		return fault.New(fault.Invalid, "the base URL's host can't be read")
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		if err := r.check(a, plain); err != nil {
			return fault.Wrap(fault.Invalid, "the base URL", err)
		}
	case numeric(host):
		return fault.New(fault.Invalid, "the base URL's host is a number that is not an address in its usual form").
			WithHint("write an IPv4 address as four decimal numbers")
	case plain && host != "localhost" && !strings.HasSuffix(host, ".localhost"):
		return fault.New(fault.Invalid, "the base URL is plain HTTP to another machine").
			WithHint("use https; plain HTTP is for loopback, with network.allowLoopbackHTTP")
	}
	if plain && !r.loopback {
		return fault.New(fault.Invalid, "the base URL is plain HTTP").
			WithHint("use https, or set network.allowLoopbackHTTP for a system on this machine")
	}
	return nil
}

// numeric reports whether the last label begins with a digit and is all hex or
// 0x…: no top-level domain is, but inet_aton reads "2130706433", "0x7f.1" and
// "017700000001" as 127.0.0.1.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return false
	}
	return strings.Trim(strings.TrimPrefix(last, "0x"), "0123456789abcdef") == ""
}
