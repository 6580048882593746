package vault

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/smtpcred"
)

// ChannelSpec says which door to open for the messages of a Channel.
type ChannelSpec struct {
	Tenant ident.Tenant
	Secret string            // "NAME" or "NAME@vN"
	Origin resource.Origin   // where the messages go, and nowhere else
	Scheme resource.Scheme   // SchemeSignature or SchemeAddress
	Base   http.RoundTripper // the transport, without a credential
}

// OpenChannel gives a RoundTripper for POST that signs each request, or sends it
// to the address that is the Secret. It is for what tells people, so it opens
// none of the doors that Workers use; a Secret whose usage scope names
// Integrations or Missions is not for it. Errors as of Open.
func (v *Vault) OpenChannel(ctx context.Context, c ChannelSpec) (http.RoundTripper, error) {
	if c.Scheme != resource.SchemeSignature && c.Scheme != resource.SchemeAddress {
		return nil, fault.New(fault.Internal, "a Channel's door of a scheme that is no Channel's")
	}
	return v.Open(ctx, DoorSpec{Tenant: c.Tenant, Secret: c.Secret, Auth: resource.Auth{Scheme: c.Scheme},
		Origin: c.Origin, Method: http.MethodPost, Base: c.Base})
}

// MailSpec says which mail server to sign in to.
type MailSpec struct {
	Tenant   ident.Tenant
	Secret   string          // "NAME" or "NAME@vN"; empty: nobody signs in
	Username string          // empty: the Secret's field username
	Origin   resource.Origin // the server, as resource.MailOrigin gives it
	TLS      resource.MailTLS
	RootCAs  *x509.CertPool // nil: the machine's
	Hello    string         // the name that the client says it has
	Conn     net.Conn       // to the server; the session closes it
}

// OpenMail speaks to a mail server until messages can be handed over, signed in
// with the Secret. Conn is closed when there is an error. Errors as of Open and
// smtpcred.Login.
func (v *Vault) OpenMail(ctx context.Context, m MailSpec) (*smtpcred.Session, error) {
	c := smtpcred.Config{Conn: m.Conn, Server: m.Origin.Host, TLS: m.TLS, RootCAs: m.RootCAs, Hello: m.Hello, Username: m.Username,
		Known: v.Scrub(m.Tenant), Latest: func() *scrub.Set { return v.Scrub(m.Tenant) }}
	if m.Secret != "" {
		t, err := v.take(ctx, DoorSpec{Tenant: m.Tenant, Secret: m.Secret, Auth: resource.Auth{Scheme: resource.SchemeLogin}, Origin: m.Origin})
		if err != nil {
			_ = m.Conn.Close() // nothing was said on it
			return nil, err
		}
		defer plain.Wipe(t.packed)
		c.Fields, c.Known = t.fields, t.known
	}
	return smtpcred.Login(ctx, c)
}
