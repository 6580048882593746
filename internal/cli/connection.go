package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

func (p *program) connectionCmd() *cobra.Command {
	return noun("connection", "See Connections with their credentials, and authorise those that a person authorises", p.connectionList(), p.connectionAuthorize())
}

func (p *program) connectionList() *cobra.Command {
	return verb("list", "List Connections, with what is known of their credentials", "  sallyport connection list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Connections
		raw, err := p.call(cmd.Context(), "GET", "/v1/connections", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, c := range out.Connections {
				state := ""
				switch {
				case c.Problem != "":
					state = short(c.Problem, 60)
				case c.Authorized:
					state = "authorised; version " + strconv.Itoa(c.Version) + " of " + when(c.Since)
				case c.Person:
					state = "nobody has authorised it: sallyport connection authorize " + c.Name
				}
				rows = append(rows, []string{c.Name, c.Integration, c.Scheme, c.Secret, state})
			}
			p.table("no Connection is applied", []string{"CONNECTION", "INTEGRATION", "SCHEME", "SECRET", "STATE"}, rows)
		})
	})
}

// askEvery is how often the server is asked whether the answer has come.
const askEvery = time.Second

func (p *program) connectionAuthorize() *cobra.Command {
	var detach bool
	c := verb("authorize NAME [--no-wait]", "Authorise a Connection at its issuer: open the URL in a browser that is signed in to the console with the same account",
		"  sallyport connection authorize tickets-desk", takes(1), func(cmd *cobra.Command, args []string) error {
			var g vault.Grant
			raw, err := p.call(cmd.Context(), "POST", route("v1", "connections", args[0], "authorizations"), nil, &g)
			if err != nil {
				return err
			}
			if detach {
				return p.result(raw, func() { p.line("%s", g.URL) })
			}
			p.say("open this in a browser that is signed in to the console with your account; it is good once, until %s", when(g.Expires))
			p.say("%s", g.URL)
			p.say("waiting for the answer of %s", g.Issuer)
			raw, err = p.awaitGrant(cmd.Context(), &g)
			if err != nil {
				return err
			}
			switch g.State {
			case vault.GrantDone:
				return p.result(raw, func() {
					p.line("%s: authorised; its tokens are version %d of the Secret %s", g.Connection, g.Version, g.Secret)
				})
			case vault.GrantExpired:
				return fault.New(fault.Unavailable, "the authorization has expired").WithHint("begin it again")
			case vault.GrantFailed, vault.GrantWaiting:
			}
			return fault.Newf(fault.Denied, "it was not authorised: %s", g.Why)
		})
	c.Flags().BoolVar(&detach, "no-wait", false, "print the URL, and end")
	return c
}

// awaitGrant asks until the answer has come.
func (p *program) awaitGrant(ctx context.Context, g *vault.Grant) (raw []byte, err error) {
	every := time.NewTicker(askEvery)
	defer every.Stop()
	for g.State == vault.GrantWaiting {
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "nobody waits for the answer any more").WithHint("it is stored all the same when it comes")
		case <-every.C:
		}
		if raw, err = p.call(ctx, "GET", route("v1", "connections", g.Connection, "authorizations", g.ID), nil, g); err != nil {
			return nil, err
		}
	}
	return raw, nil
}
