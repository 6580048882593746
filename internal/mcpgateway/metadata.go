package mcpgateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// wellKnown is where RFC 9728 has the metadata of a protected resource.
const wellKnown = "/.well-known/oauth-protected-resource"

var errNoToken = fault.New(fault.Unauthenticated, "the request carries no token")

// resourceMetadata is the document of RFC 9728, section 2.
type resourceMetadata struct {
	Resource string   `json:"resource"` // what tokens have to name as their audience
	Servers  []string `json:"authorization_servers,omitempty"`
	Methods  []string `json:"bearer_methods_supported"`
	Name     string   `json:"resource_name"`
}

// metadata says where tokens for this door come from. Every path of the door is one
// resource.
func (g *Gateway) metadata(w http.ResponseWriter, r *http.Request) {
	if !g.Host(hostname(r.Host)) {
		http.Error(w, "this is not that host", http.StatusForbidden)
		return
	}
	b, _ := json.Marshal(resourceMetadata{ // a struct of strings
		Resource: g.base(r) + "/mcp", Servers: g.Issuers(), Methods: []string{"header"}, Name: "Sallyport",
	})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

// base is the server's URL as clients know it.
func (g *Gateway) base(r *http.Request) string {
	if g.PublicURL != "" {
		return strings.TrimRight(g.PublicURL, "/")
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// unauthenticated answers who is not known, with where to get a token. What can't be
// checked now is not called unknown.
func (c *call) unauthenticated(err error) {
	if !fault.Is(err, fault.Unauthenticated) {
		status, _ := fault.KindOf(err).HTTP()
		c.refuse(status, jsonrpc.CodeInternal, "who calls can't be checked now")
		return
	}
	challenge := `Bearer realm="sallyport", resource_metadata="` + c.base(c.r) + wellKnown + `/mcp"`
	if err != error(errNoToken) { //nolint:errorlint // this very value: no token was sent at all
		challenge += `, error="invalid_token"`
	}
	c.w.Header().Set("WWW-Authenticate", challenge)
	c.refuse(http.StatusUnauthorized, jsonrpc.CodeInvalidRequest, "send a Run's or a Worker's token as a bearer token")
}
