package cli

import (
	"net"
	"net/netip"
	"net/url"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
)

// onThePage refuses a verdict that takes a passkey: those are a browser's. It says
// where the page is.
func (p *program) onThePage(id string) error {
	s, _, err := p.sessions()
	if err != nil {
		return err
	}
	server, err := p.where(s)
	if err != nil {
		return err
	}
	return fault.New(fault.Denied, decision.Refuse(decision.NeedsPasskey).Error()).
		WithHint("a terminal has no passkeys: decide at %s", byName(server)+"/decisions/"+url.PathEscape(id))
}

// byName is a server's address with a name in it where it is this machine: no
// passkey belongs to a number.
func byName(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		u.Host = net.JoinHostPort("localhost", u.Port())
	}
	return u.String()
}

func (p *program) accountPasskeys() *cobra.Command {
	return verb("passkeys NAME", "List an account's passkeys", "  sallyport account passkeys bo", takes(1), func(cmd *cobra.Command, args []string) error {
		a, err := p.account(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var out api.Passkeys
		raw, err := p.call(cmd.Context(), "GET", route("v1", "accounts", a.ID, "passkeys"), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, k := range out.Passkeys {
				used := "never"
				if !k.UsedAt.IsZero() {
					used = when(k.UsedAt)
				}
				rows = append(rows, []string{k.ID, k.Name, k.Algorithm, when(k.CreatedAt), when(k.UsableAt), used})
			}
			p.table("the account has no passkeys", []string{"PASSKEY", "NAME", "ALGORITHM", "ENROLLED", "COUNTS FROM", "USED"}, rows)
		})
	})
}

func (p *program) accountPasskeyLink() *cobra.Command {
	var piped bool
	c := verb("passkey-link NAME", "Make a link by which an account's owner enrols one passkey, once and within an hour",
		"  sallyport account passkey-link bo", takes(1), func(cmd *cobra.Command, args []string) error {
			if err := p.byHand(piped); err != nil {
				return err
			}
			a, err := p.account(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "make a link")
			if err != nil {
				return err
			}
			var out api.PasskeyLink
			raw, err := p.call(cmd.Context(), "POST", route("v1", "accounts", a.ID, "passkey-link"), f, &out)
			if err != nil {
				return err
			}
			p.say("shown this once: hand it to %s, who opens it in a browser and is signed in there", a.Name)
			return p.result(raw, func() { p.pairs("link", out.Link, "until", when(out.ExpiresAt)) })
		})
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

func (p *program) accountPasskeyRemove() *cobra.Command {
	var piped bool
	c := verb("passkey-remove NAME PASSKEY", "Remove an account's passkey", "  sallyport account passkey-remove bo pky_abc", takes(2), func(cmd *cobra.Command, args []string) error {
		if err := p.byHand(piped); err != nil {
			return err
		}
		a, err := p.account(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		f, err := p.fresh(cmd.Context(), "remove the passkey")
		if err != nil {
			return err
		}
		if _, err := p.call(cmd.Context(), "POST", route("v1", "accounts", a.ID, "passkeys", args[1], "remove"), f, nil); err != nil {
			return err
		}
		return p.result(map[string]string{"removed": args[1]}, func() { p.line("%s: removed", args[1]) })
	})
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

// byHand refuses to read a proof from a pipe unless that was asked for.
func (p *program) byHand(piped bool) error {
	if p.typing() || piped {
		return nil
	}
	return &usageError{"a change of somebody's passkeys is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
}
