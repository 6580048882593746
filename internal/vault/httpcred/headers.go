package httpcred

import (
	"net/http"
	"net/textproto"
	"strings"
)

// hopByHop are the headers of one connection (RFC 9110, 7.6.1) and those by
// which a request becomes something else than a request.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Expect"}

// reserved are the headers that no credential may be put into.
var reserved = set(append(hopByHop, "Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "Cookie", "Range", "If-Range"))

// stripped are the headers that a request never carries through a door: other
// authentication, where it came from, and what would make an answer partial,
// so that a secret is cut in two.
var stripped = set(append(hopByHop, "Authorization", "Cookie", "Cookie2", "Forwarded", "Via", "X-Real-Ip",
	"X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Range", "If-Range", "Host", "Content-Length", "Accept-Encoding"))

// strippedPrefixes are families of the same.
var strippedPrefixes = []string{"Proxy-", "X-Forwarded-"}

// dropped are the headers of an answer that are not passed on: cookies (a
// session is a credential), challenges, and what makes a client connect or
// load elsewhere. A bare Basic challenge stays, see challenge.
var dropped = set(append(hopByHop, "Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Proxy-Authenticate",
	"Alt-Svc", "Refresh", "Content-Length", "Content-Encoding", "Content-Range", "Accept-Ranges", "Clear-Site-Data"))

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func isStripped(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if stripped[name] {
		return true
	}
	for _, p := range strippedPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func isDropped(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return dropped[name] || strings.HasSuffix(name, "-Authentication-Info") || name == "Authentication-Info"
}

// strip takes from h what a request may not carry, and what its Connection
// header calls connection-specific.
func strip(h http.Header) {
	named := map[string]bool{}
	for k, vs := range h {
		if !strings.EqualFold(k, "Connection") {
			continue
		}
		for _, v := range vs {
			for token := range strings.SplitSeq(v, ",") {
				named[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(token))] = true
			}
		}
	}
	for k := range h {
		if isStripped(k) || named[textproto.CanonicalMIMEHeaderKey(k)] {
			delete(h, k)
		}
	}
}

// challenge gives the Basic challenge of an answer, which git needs to try
// again, or "" when there is another scheme in it.
func challenge(h http.Header) string {
	vs := h.Values("Www-Authenticate")
	if len(vs) != 1 {
		return ""
	}
	scheme, rest, _ := strings.Cut(vs[0], " ")
	realm, ok := strings.CutPrefix(strings.TrimSpace(rest), `realm="`)
	if !strings.EqualFold(scheme, "Basic") || !ok || strings.Count(realm, `"`) != 1 || !strings.HasSuffix(realm, `"`) {
		return ""
	}
	return `Basic realm="` + realm
}
