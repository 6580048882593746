package issuer

import (
	"slices"

	"sallyport.dev/internal/resource"
)

// Metadata is the protected resource's document (RFC 9728): what a client has to
// know to get a token for this server. Everybody may read it.
type Metadata struct {
	Resource string `json:"resource"` // what a token's audience has to be
	// AuthorizationServers are the issuers of Workers whose tokens are for Resource.
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name"`
}

// MetadataOf makes it for the server's own audience, of Workers that are somebody.
func MetadataOf(audience string, ws []*resource.Worker) Metadata {
	m := Metadata{Resource: audience, BearerMethods: []string{"header"}, Name: "Sallyport"}
	for _, w := range ws {
		j := w.JWT
		if j == nil || w.Disabled || j.Audience != "" && j.Audience != audience || slices.Contains(m.AuthorizationServers, j.Issuer) {
			continue
		}
		m.AuthorizationServers = append(m.AuthorizationServers, j.Issuer)
	}
	slices.Sort(m.AuthorizationServers)
	return m
}
