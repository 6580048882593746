package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// Keeper unseals the vault, has the seals that the server was started with, and
// rotates its keys.
type Keeper interface {
	// UnsealKey is a Conflict when the vault is unsealed.
	UnsealKey(ctx context.Context) (vault.UnsealKey, error)
	// Unseal returns when the server is open.
	Unseal(ctx context.Context, b vault.Brought) error
	// AtHand is Unavailable while the vault is sealed.
	AtHand(ctx context.Context) ([]AtHand, error)
	// Rotate replaces keys in the order given ("root", "project", "data"), and
	// waits as long as ctx lasts; done says whether it has ended. Conflict:
	// another rotation is under way.
	Rotate(ctx context.Context, what []string, who ident.Principal) (list []vault.Rotation, done bool, err error)
	// Rotating says what is being rotated, and why the last rotation failed.
	Rotating() (under, failed string)
}

// SealState says whether the vault is sealed and, while it is, what a client
// needs to unseal it. Everybody may read it: of a passphrase there is nothing in
// it to guess at, and the other ciphertexts are under keys of 256 bits.
type SealState struct {
	Sealed bool `json:"sealed"`
	// Kinds are what unseals it from a client: key-file, recovery, passphrase.
	Kinds []kek.Kind       `json:"kinds,omitempty"`
	Key   *vault.UnsealKey `json:"key,omitempty"`
}

// Unsealing is a seal's secret or a passphrase, encrypted to the key of this
// sealed start.
type Unsealing struct {
	Key    string `json:"key"`  // the id of the key that it was encrypted to
	Kind   string `json:"kind"` // root or passphrase
	Sealed []byte `json:"sealed"`
}

func (a *API) unsealing() {
	handle(a, "GET", "/v1/seal", "Whether the vault is sealed, and what a client encrypts a seal to", anybody, func(c *call, _ none) (SealState, error) {
		return a.sealState(c.Context())
	})
	handle(a, "POST", "/v1/unseal", "Unseal the vault with what was encrypted to its key; answers when the server is open", anybody, func(c *call, in Unsealing) (SealState, error) {
		if !a.Vault.Sealed() {
			return SealState{}, fault.New(fault.Conflict, "the vault is unsealed already")
		}
		from, here := source(c.Request)
		done, err := a.attempts.begin(from, here, a.Now())
		if err != nil {
			return SealState{}, err
		}
		defer done()
		err = a.Keeper.Unseal(c.Context(), vault.Brought{Key: in.Key, Kind: in.Kind, Sealed: in.Sealed, Source: from})
		return SealState{Sealed: a.Vault.Sealed()}, err
	})
}

func (a *API) sealState(ctx context.Context) (SealState, error) {
	if !a.Vault.Sealed() {
		return SealState{}, nil
	}
	k, err := a.attempts.offer(a.Now(), func() (vault.UnsealKey, error) { return a.Keeper.UnsealKey(ctx) })
	if fault.Is(err, fault.Conflict) {
		return SealState{}, nil // unsealed meanwhile
	}
	if err != nil {
		return SealState{}, err
	}
	out := SealState{Sealed: true, Key: &k}
	for _, row := range k.Offers {
		if !slices.Contains(out.Kinds, row.Sealed.Kind) {
			out.Kinds = append(out.Kinds, row.Sealed.Kind)
		}
	}
	if k.Passphrase {
		out.Kinds = append(out.Kinds, kek.KindPassphrase)
	}
	return out, nil
}

// strangers are headers of requests that are not the operator's, also where they
// come from this machine: a proxy forwards what others send, and a page in the
// operator's browser can be anybody's.
var strangers = []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip", "Origin", "Sec-Fetch-Site"}

// source is the address that a request came from, and whether the operator may be
// who sent it, on this machine. Of what a proxy here forwards, it is the last
// address that the proxy wrote.
func source(r *http.Request) (from string, here bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unknown", false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown", false
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsLoopback() {
		return ip.String(), false
	}
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return ip.String(), !slices.ContainsFunc(strangers, func(h string) bool { return len(r.Header.Values(h)) > 0 })
	}
	last := forwarded[len(forwarded)-1]
	by, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
	if err != nil {
		return "a proxy", false
	}
	return by.Unmap().WithZone("").String(), false
}

// NewSealed makes the handler of a server that is not open: health, the state of
// the seal, and unsealing. Everything else is refused by its path alone: no token,
// cookie or body of it is looked at, and nothing is read from the store.
func NewSealed(c Config) *API {
	a := &API{Config: c, mux: http.NewServeMux()}
	a.health()
	a.unsealing()
	a.mux.HandleFunc("/", a.notOpen)
	return a
}

// sealedPage is what a browser gets. There is nothing to type here: a page of a
// sealed server has no secrets of its own to tell it from a false one by.
const sealedPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sallyport is sealed</title></head>
<body><h1>Sallyport is sealed</h1>
<p>It was started and waits for an operator, who unseals it with <code>sallyport seal unseal</code>, or it is starting just now. Until then it does nothing else.</p>
</body></html>
`

func (a *API) notOpen(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "10")
	err := fault.New(fault.Unavailable, "the vault is sealed, and the server does nothing else until it is unsealed").
		WithHint("unseal it with: sallyport seal unseal")
	if !a.Vault.Sealed() {
		err = fault.New(fault.Unavailable, "the vault is unsealed, and the server is starting").WithHint("try again in a moment")
	}
	if !strings.HasPrefix(r.URL.Path, "/v1/") && strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(sealedPage)) // the client is gone when this fails
		return
	}
	a.problem(w, r, err)
}
