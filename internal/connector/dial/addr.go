package dial

import (
	"net/netip"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// never lists what no Integration can name: the unspecified address connects to
// this machine, and the others have no single host behind them.
var never = prefixes("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")

// metadata lists the addresses where clouds hand credentials to whoever asks.
// An Integration has to name such an address alone (/32, /128): a range that
// happens to hold one does not open it.
var metadata = prefixes(
	"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", // AWS, Azure, GCP; ECS and EKS tasks
	"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", // Alibaba, Oracle, Azure's host
	"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128",
)

// special4 is what IANA's IPv4 special-purpose registry has beyond never: none
// of it is a public host.
var special4 = prefixes(
	"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"240.0.0.0/4",
)

// global6 is the only IPv6 space in use for public hosts; special6 is what in
// it is not one, with the forms that carry an IPv4 address (Teredo, 6to4).
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

func prefixes(ss ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(ss))
	for i, s := range ss {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func anyContains(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// rules is a resource.Network made ready.
type rules struct {
	loopback bool
	allow    []netip.Prefix
}

func parse(n resource.Network) (rules, error) {
	r := rules{loopback: n.AllowLoopbackHTTP}
	for _, s := range n.AllowPrivate {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() || p.Addr().Zone() != "" || p != p.Masked() {
			return rules{}, fault.Newf(fault.Invalid, "allowPrivate: %q is not an address range", fault.Quote(s)).
				WithHint("write it like 10.20.0.0/16 or fd12:3456::/32, without host bits, and IPv4 ranges in IPv4 form")
		}
		r.allow = append(r.allow, p)
	}
	return r, nil
}

// check says whether a resolved address may be dialled; plain is HTTP without
// TLS. It is asked for every address, after resolution, right before connect.
func (r rules) check(a netip.Addr, plain bool) error {
	if !a.IsValid() || a.Zone() != "" {
		return refuse(a, "is not an address that can be dialled")
	}
	a = a.Unmap() // ::ffff:10.0.0.1 is 10.0.0.1
	switch {
	case anyContains(never, a):
		return refuse(a, "is unspecified, broadcast or multicast")
	case plain && !a.IsLoopback():
		return refuse(a, "is not loopback, and plain HTTP goes nowhere else")
	case a.IsLoopback() && r.loopback:
		return nil
	case anyContains(metadata, a):
		for _, p := range r.allow {
			if p.IsSingleIP() && p.Addr() == a {
				return nil
			}
		}
		return refuse(a, "is a cloud's metadata service")
	case anyContains(r.allow, a), public(a):
		return nil
	case a.IsLoopback():
		return refuse(a, "is loopback")
	}
	return refuse(a, "is not a public address")
}

func public(a netip.Addr) bool {
	if a.Is4() {
		return !anyContains(special4, a)
	}
	return global6.Contains(a) && !anyContains(special6, a)
}

func refuse(a netip.Addr, why string) error {
	return fault.Newf(fault.Denied, "the system's address %s %s", a, why).
		WithHint("if the system really lives there, name its range in the Integration's network.allowPrivate, or set allowLoopbackHTTP for loopback")
}
