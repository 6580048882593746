package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
)

func (p *program) loginCmd() *cobra.Command {
	var name string
	var piped bool
	c := verb("login", "Sign in with password and one-time code", `  sallyport login --server https://sallyport.example
  printf '%s\n' "$PASSWORD" "$CODE" | sallyport login --name ada --password-stdin`,
		takes(0), func(cmd *cobra.Command, _ []string) error { return p.login(cmd.Context(), name, piped) })
	c.Flags().StringVar(&name, "name", "", "the account's name")
	c.Flags().BoolVar(&piped, "password-stdin", false, "read from stdin, one a line: the password, the code; then, where the password has to be changed, the new one and the next code")
	return c
}

func (p *program) login(ctx context.Context, name string, piped bool) error {
	c, server, err := p.stranger()
	if err != nil {
		return err
	}
	if !p.typing() && !piped {
		return &usageError{"stdin is not a terminal", "to read password and code from it, give --password-stdin"}
	}
	if name == "" && piped {
		return &usageError{"the account's name is missing", "give --name"}
	}
	if name == "" {
		if name, err = p.ask(ctx, "name"); err != nil {
			return err
		}
	}
	password, code, err := p.factor(ctx)
	if err != nil {
		return err
	}
	var s api.Session
	if err := c.Call(ctx, "POST", "/v1/sessions", api.SignIn{Name: name, Password: string(password), Code: code}, &s); err != nil {
		return err
	}
	if s.MustChange {
		if s, err = p.renew(ctx, server, s, password); err != nil {
			return err
		}
	}
	if err := p.keep(server, s); err != nil {
		return err
	}
	p.say("signed in at %s as %s until %s", server, s.Me.Name, when(s.ExpiresAt))
	if p.json {
		return p.object(s.Me)
	}
	return nil
}

// factor asks for password and one-time code.
func (p *program) factor(ctx context.Context) (password []byte, code string, err error) {
	if password, err = p.askHidden(ctx, "password"); err != nil {
		return nil, "", err
	}
	code, err = p.ask(ctx, "one-time code")
	return password, code, err
}

// renew changes a password that somebody else chose. A one-time code is good
// once, so this takes the next one.
func (p *program) renew(ctx context.Context, server string, s api.Session, old []byte) (api.Session, error) {
	p.say("this password was chosen by somebody else: choose your own now")
	chosen, err := p.choosePassword(ctx)
	if err != nil {
		return s, err
	}
	if p.typing() {
		again, err := p.askHidden(ctx, "new password again")
		if err != nil {
			return s, err
		}
		if !bytes.Equal(chosen, again) {
			return s, fault.New(fault.Invalid, "the two are not the same").WithHint("sign in again, with the password that you were given")
		}
	}
	code, err := p.ask(ctx, "next one-time code (wait until it changes)")
	if err != nil {
		return s, err
	}
	c, err := dial(server, s.Token)
	if err != nil {
		return s, err
	}
	var out api.Session
	err = c.Call(ctx, "POST", "/v1/me/password", api.NewPassword{Password: string(old), Code: code, New: string(chosen)}, &out)
	return out, err
}

// minPassword is the server's own bound, in characters: it is checked here too, so
// that a short one costs no one-time code.
const minPassword = 12

// choosePassword asks for a new password until it is long enough.
func (p *program) choosePassword(ctx context.Context) ([]byte, error) {
	for {
		b, err := p.askHidden(ctx, fmt.Sprintf("new password (%d characters or more)", minPassword))
		if err != nil || utf8.RuneCount(b) >= minPassword {
			return b, err
		}
		if !p.typing() {
			return nil, fault.Newf(fault.Invalid, "the new password has fewer than %d characters", minPassword)
		}
		p.say("that has fewer than %d characters; choose a longer one", minPassword)
	}
}

// keep stores a session.
func (p *program) keep(server string, s api.Session) error {
	all, path, err := p.sessions()
	if err != nil {
		return err
	}
	all.Current = server
	all.Servers[server] = session{Token: s.Token, Name: s.Me.Name, ExpiresAt: s.ExpiresAt}
	return all.write(path)
}

func (p *program) logoutCmd() *cobra.Command {
	return verb("logout", "End the session, here and at the server", "  sallyport logout", takes(0), func(cmd *cobra.Command, _ []string) error {
		all, path, err := p.sessions()
		if err != nil {
			return err
		}
		server, err := p.where(all)
		if err != nil {
			return err
		}
		s, ok := all.Servers[server]
		if !ok {
			p.say("not signed in at %s", server)
			return nil
		}
		c, err := dial(server, s.Token)
		if err != nil {
			return err
		}
		ended := c.Call(cmd.Context(), "DELETE", "/v1/sessions/current", nil, nil)
		if refused, ok := errors.AsType[*client.Problem](ended); ok && refused.Kind == string(fault.Unauthenticated) {
			ended = nil // it had ended already
		}
		delete(all.Servers, server)
		if all.Current == server {
			all.Current = ""
		}
		if err := errors.Join(all.write(path), ended); err != nil {
			return err
		}
		p.say("signed out at %s", server)
		return nil
	})
}

func (p *program) whoamiCmd() *cobra.Command {
	return verb("whoami", "Show who is signed in", "  sallyport whoami --json", takes(0), func(cmd *cobra.Command, _ []string) error {
		var me api.Me
		raw, err := p.call(cmd.Context(), "GET", "/v1/me", nil, &me)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.pairs("name", me.Name, "login", me.Login, "tenant", string(me.Tenant), "roles", join(me.Roles), "id", me.ID)
		})
	})
}

func join[T ~string](l []T) string {
	s := ""
	for i, v := range l {
		if i > 0 {
			s += " "
		}
		s += string(v)
	}
	return s
}
