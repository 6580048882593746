package api

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Keys says how old the vault's keys are. None of it is a key.
type Keys struct {
	vault.KeyStatus
	Rotating string   `json:"rotating,omitempty"` // what is being rotated now
	Failed   string   `json:"failed,omitempty"`   // why the last rotation did not end well
	Hints    []string `json:"hints,omitempty"`    // what is due
}

// Rotate says which keys to replace.
type Rotate struct {
	What string `json:"what"` // root, project, data, or all: the three in this order
	Fresh
}

// Rotated says what was replaced.
type Rotated struct {
	Rotations []vault.Rotation `json:"rotations"`
	// Running says that it goes on: /v1/keys says when it has ended.
	Running bool `json:"running,omitempty"`
}

// rotateFor is how long an answer waits for a rotation, below the time-outs of
// server and client.
const rotateFor = 90 * time.Second

// What can be rotated.
var rotations = map[string][]string{"root": {"root"}, "project": {"project"}, "data": {"data"}, "all": {"root", "project", "data"}}

func (a *API) keys() {
	handle(a, "GET", "/v1/keys", "How old the vault's keys are, and which are due for a rotation", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Keys, error) {
		if err := a.ours(c); err != nil {
			return Keys{}, err
		}
		k, err := a.Vault.Keys(c.who.Tenant)
		if err != nil {
			return Keys{}, err
		}
		out := Keys{KeyStatus: k, Hints: KeyHints(k, a.Now())}
		out.Rotating, out.Failed = a.Keeper.Rotating()
		return out, nil
	})
	handle(a, "POST", "/v1/keys/rotate", "Replace keys while the server works, with password and one-time code", with(ident.Admin), func(c *call, in Rotate) (Rotated, error) {
		what := rotations[in.What]
		if what == nil {
			return Rotated{}, fault.New(fault.Invalid, "there are no such keys").WithHint("give root, project, data or all")
		}
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "keys.rotate", "what": in.What}); err != nil {
			return Rotated{}, err
		}
		ctx, cancel := context.WithTimeout(c.Context(), rotateFor)
		defer cancel()
		list, done, err := a.Keeper.Rotate(ctx, what, c.who)
		return Rotated{emptied(list), !done}, err
	})
}

// keyAge is how old a key becomes before its rotation is due.
const keyAge = 90 * 24 * time.Hour

// KeyHints says what is due.
func KeyHints(k vault.KeyStatus, now time.Time) []string {
	var out []string
	due := func(what, word string, since time.Time) {
		if days := int(now.Sub(since).Hours() / 24); !since.IsZero() && now.Sub(since) >= keyAge {
			out = append(out, fmt.Sprintf("%s is %d days old: sallyport key rotate %s", what, days, word))
		}
	}
	due("the root key", "root", k.RootSince)
	due("the project key", "project", k.TermSince)
	if len(out) == 0 && k.Older > 0 {
		out = append(out, fmt.Sprintf("%d versions of Secrets are under an older project key: sallyport key rotate project", k.Older))
	}
	return out
}
