package app

import (
	"net"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/passkey"
)

// party is whom people's passkeys are for: the address by which they reach the
// server. One that takes loopback connections alone, and is told nothing else, is
// reached as localhost. It is never taken from a request: who sends that chooses it.
func (a *App) party() (passkey.Party, error) {
	if a.cfg.PublicURL != "" {
		return passkey.PartyOf(a.cfg.PublicURL)
	}
	_, port, err := net.SplitHostPort(a.Addr())
	if err != nil || a.cfg.tls() {
		return passkey.Party{}, fault.New(fault.Unavailable, "the server does not know by which name people reach it, so it can't have passkeys").
			WithHint("start it with --public-url https://…")
	}
	return passkey.PartyOf("http://localhost:" + port)
}
