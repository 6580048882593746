package console

import (
	"net/http"
	"net/url"
	"strings"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// maxForm bounds a posted form, in bytes.
const maxForm = 512 << 10

// access says who may use a route.
type access struct {
	open  bool         // anybody
	roles []ident.Role // people with one of these; none: everybody who is signed in
}

var (
	anybody  = access{open: true}
	signedIn = access{}
	deciders = with(ident.Approver, ident.Auditor, ident.Admin)
)

func with(roles ...ident.Role) access { return access{roles: roles} }

func (a access) allows(who ident.Principal) bool {
	for _, r := range a.roles {
		if who.Has(r) {
			return true
		}
	}
	return len(a.roles) == 0
}

func (a access) hint() string {
	names := make([]string, len(a.roles))
	for i, r := range a.roles {
		names[i] = string(r)
	}
	return "it takes the role " + strings.Join(names, " or ")
}

// setHeaders sets what every answer carries, whatever it is. A page replaces the
// content policy by its own.
func setHeaders(h http.Header, secure bool) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not "no-referrer": browsers then send "Origin: null" with our own forms,
	// and those without Sec-Fetch-Site would be taken for foreign.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=(), clipboard-read=()")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// contentPolicy is that of a page. Only a live page, and one with a script that
// encrypts values or asks for a passkey, has a script, by its nonce; a live page's
// one way to make markup is the policy "rail", and the others make none.
func contentPolicy(nonce string, live, form bool) string {
	p := "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
	if live || form {
		p += "script-src 'nonce-" + nonce + "'; connect-src 'self'; "
	}
	if live {
		return p + "trusted-types rail"
	}
	return p + "trusted-types 'none'"
}

// cookieName binds the cookie to host and TLS where there is TLS.
func (c *Console) cookieName() string {
	if c.Secure {
		return "__Host-sallyport"
	}
	return "sallyport"
}

// setCookie hands a session's token to the browser, or with "" takes it back. It
// lives as long as the browser does; the session itself ends earlier when it is
// not used. Lax, so that a link to a Decision in a message opens it.
func (c *Console) setCookie(w http.ResponseWriter, token string) {
	//nolint:gosec // G124: all three are set; Secure wherever there is TLS
	k := &http.Cookie{Name: c.cookieName(), Value: token, Path: "/", HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode}
	if token == "" {
		k.MaxAge = -1
	}
	http.SetCookie(w, k)
}

// localPath is a path of this console to go to after signing in, or "/": what
// came from outside must not lead outside.
func localPath(s string) string {
	u, err := url.Parse(s)
	bad := func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }
	switch {
	case err != nil, len(s) > 500, strings.ContainsFunc(s, bad), strings.ContainsFunc(u.Path, bad):
	case u.Scheme != "", u.Host != "", u.User != nil, !strings.HasPrefix(u.Path, "/"), strings.HasPrefix(u.Path, "//"):
	case u.Path == "/signin", u.Path == "/signout":
	default:
		return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
	}
	return "/"
}

// away is the address of an issuer that a person is sent to, or "": the one way out of
// the console. The vault made it, for the issuer that the Connection names.
func away(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Query().Get("state") == "" {
		return ""
	}
	o, err := resource.ParseOrigin(u)
	if err != nil || o.Scheme == "http" && !o.Loopback() {
		return ""
	}
	return u.String()
}
