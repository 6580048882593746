package cli

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault"
)

// sending is a value on its way, without it.
type sending struct {
	name   string
	method string // PUT: set, POST: rotate
	rotate bool
	pin    string // the id that the intake key has to have, or empty
	body   api.SecretValue
}

// meantFlag is for a value that is stored although it was recorded somewhere.
func meantFlag(c *cobra.Command, meant *bool) {
	c.Flags().BoolVar(meant, "although-recorded", false, "store the value also when it stands in recorded traffic: it is taken out of everything that is shown from then on (it is on the record that you said so)")
}

func pinFlag(c *cobra.Command, pin *string) {
	c.Flags().StringVar(pin, "intake-key", "", "the id that the server's intake key has to have: nothing is sent to another (see: sallyport secret intake-key)")
}

// intakeKey gets a key for one value. A server that has none gets no value: who
// could take the route away could read it otherwise.
func (p *program) intakeKey(ctx context.Context, pin string) (k intake.Key, raw json.RawMessage, err error) {
	raw, err = p.call(ctx, "GET", "/v1/intake-key", nil, &k)
	if err == nil && pin != "" && k.ID != pin {
		err = fault.New(fault.Denied, "the server's intake key is not the one that --intake-key names, so nothing was sent").
			WithHint("either the id is of another server, or somebody stands between you and the server")
	}
	return k, raw, err
}

// store encrypts the fields to the server's key and sends them.
func (p *program) store(ctx context.Context, s sending, fields map[string][]byte) (json.RawMessage, vault.Secret, error) {
	var out vault.Secret
	k, _, err := p.intakeKey(ctx, s.pin)
	if err != nil {
		return nil, out, err
	}
	about, err := vault.About{Scope: s.body.Scope, Expires: s.body.Expires, AnyOrigin: s.body.AnyOrigin, AlthoughRecorded: s.body.AlthoughRecorded}.Text()
	if err != nil {
		return nil, out, err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if shape := vault.Shape(fields[name]); shape != "" {
			p.say("%s, %s: it is %s, and its parts are hidden too where one is met alone", s.name, name, shape)
		}
	}
	s.body.Sealed, err = intake.Seal(k, intake.Target{Tenant: k.Tenant, Name: s.name, About: about}, fields)
	for _, v := range fields {
		clear(v)
	}
	if err != nil {
		return nil, out, err
	}
	path := route("v1", "secrets", s.name)
	if s.rotate {
		path += "/rotate"
	}
	raw, err := p.call(ctx, s.method, path, s.body, &out)
	return raw, out, err
}

func (p *program) secretIntakeKey() *cobra.Command {
	return verb("intake-key", "Show the id of the key that values are encrypted to, to be pinned elsewhere", "  sallyport secret intake-key", takes(0), func(cmd *cobra.Command, _ []string) error {
		k, raw, err := p.intakeKey(cmd.Context(), "")
		if err == nil {
			err = k.Check()
		}
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s", k.ID) })
	})
}
