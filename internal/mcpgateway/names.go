package mcpgateway

import (
	"net/url"
	"strings"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Naming is how what Connections offer is named to clients.
type Naming interface {
	// Tool is a Tool's name.
	Tool(t intent.Tool) string
	// Prompt and URI name a prompt and a resource of a Connection's server.
	Prompt(connection, name string) string
	URI(connection, uri string) string
	// UpstreamPrompt and UpstreamURI undo them; false for what is no such name.
	UpstreamPrompt(name string) (connection, upstream string, ok bool)
	UpstreamURI(uri string) (connection, upstream string, ok bool)
}

// Prefixed is the Naming of the product: everything bears its Connection's name, so
// that no upstream server can take another's place.
type Prefixed struct{}

// Tool is connection__tool.
func (Prefixed) Tool(t intent.Tool) string { return t.Name }

// Prompt is connection__name.
func (Prefixed) Prompt(connection, name string) string { return connection + "__" + name }

// URI is sallyport://CONNECTION/ and the escaped URI.
func (Prefixed) URI(connection, uri string) string {
	return uriScheme + connection + "/" + url.PathEscape(uri)
}

const uriScheme = "sallyport://"

// UpstreamPrompt undoes Prompt.
func (Prefixed) UpstreamPrompt(name string) (connection, upstream string, ok bool) {
	connection, upstream, ok = strings.Cut(name, "__")
	return connection, upstream, ok && ident.CheckName(connection) == nil && upstream != ""
}

// UpstreamURI undoes URI, and takes the one spelling of it only.
func (p Prefixed) UpstreamURI(uri string) (connection, upstream string, ok bool) {
	rest, ok := strings.CutPrefix(uri, uriScheme)
	if !ok {
		return "", "", false
	}
	connection, escaped, ok := strings.Cut(rest, "/")
	if !ok || ident.CheckName(connection) != nil {
		return "", "", false
	}
	upstream, err := url.PathUnescape(escaped)
	return connection, upstream, err == nil && upstream != "" && p.URI(connection, upstream) == uri
}

// split is what a tool's name that is not listed would mean: the Gate refuses it in
// the words in which it refuses everything that the Mission does not hold.
func split(name string) (connection, tool string) {
	connection, tool, ok := strings.Cut(name, "__")
	if !ok {
		return "", name
	}
	return connection, tool
}
