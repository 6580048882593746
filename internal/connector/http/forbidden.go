package http

import (
	"net/textproto"
	"slices"
	"strings"
)

// forbiddenHeaders are no business of a Worker's: who calls, where the request
// goes, how it is framed, forwarded, negotiated or repeated. Canonical form.
var forbiddenHeaders = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Alt-Used", "Api-Key", "Apikey", "Authentication", "Authorization", "Client-Ip", "Connection", "Cookie", "Cookie2",
	"Expect", "Forwarded", "From", "Host", "Http2-Settings", "Idempotency-Key", "If-Range", "Keep-Alive", "Max-Forwards", "Origin", "Private-Token", "Range", "Referer",
	"Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "True-Client-Ip", "Upgrade", "User-Agent", "Via", "Fastly-Client-Ip",
	"X-Access-Token", "X-Amz-Security-Token", "X-Api-Key", "X-Auth", "X-Authorization", "X-Apikey", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Csrf-Token", "X-Goog-Api-Key", "X-Host",
	"X-Http-Method", "X-Http-Method-Override", "X-Idempotency-Key", "X-Method-Override", "X-Middleware-Subrequest", "X-Original-Host", "X-Original-Method", "X-Original-Url", "X-Real-Ip", "X-Remote-User", "X-Rewrite-Url", "X-Session-Token",
	"X-Token", "X-Vault-Token", "X-Xsrf-Token",
}

var forbiddenHeaderPrefixes = []string{"Access-Control-", "Cf-", "Content-", "Impersonate-", "Proxy-", "Sec-", "X-Auth-", "X-Authenticated", "X-Envoy-", "X-Forwarded", "X-Ms-Client-Principal"}

// repeatHeaders may carry the Intent's id when a Tool's rule says so, but are
// never an argument.
var repeatHeaders = []string{"Idempotency-Key", "X-Idempotency-Key"}

func forbiddenHeader(name string) bool {
	n := textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-")) // some servers read X_Api_Key as X-Api-Key
	return slices.Contains(forbiddenHeaders, n) ||
		slices.ContainsFunc(forbiddenHeaderPrefixes, func(p string) bool { return strings.HasPrefix(n, p) })
}

// forbiddenQuery are the query parameters that APIs commonly take a credential
// or another method from. What a document's security schemes name is added.
var forbiddenQuery = []string{
	"_method", "access_token", "api-key", "api_key", "apikey", "auth", "auth_token", "authorization", "client_secret",
	"password", "private_token", "sig", "signature", "subscription-key", "x-api-key", "x-http-method-override",
}

// positions are where the document's own security schemes put credentials.
type positions struct{ headers, query []string }

func (d *document) positions() positions {
	var p positions
	components, _ := d.root["components"].(object)
	schemes, _ := components["securitySchemes"].(object)
	for _, v := range schemes {
		s, err := d.deref(v)
		if err != nil {
			continue // not a scheme: nothing is named there
		}
		name, _ := s["name"].(string)
		switch in, _ := s["in"].(string); in {
		case "header":
			p.headers = append(p.headers, name)
		case "query":
			p.query = append(p.query, name)
		}
	}
	return p
}

// taken reports whether a parameter is at a place that is not a Worker's.
func (p positions) taken(in, name string) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	switch in {
	case "header":
		return forbiddenHeader(name) || slices.ContainsFunc(p.headers, same)
	case "query":
		return slices.ContainsFunc(forbiddenQuery, same) || slices.ContainsFunc(p.query, same)
	case "path":
		return false
	}
	return true // cookies, and what a later version may add
}
