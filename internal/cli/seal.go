package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/kek"
)

func (p *program) sealCmd() *cobra.Command {
	return noun("seal", "See and change what unseals the vault",
		p.sealStatus(), p.sealUnseal(), p.sealAdd(), p.sealRotate(), p.sealRemove(), p.sealRecoveryKey())
}

// sealStatus is what status prints as JSON: what strangers may know, and the rest
// for an admin or auditor who is signed in.
type sealStatus struct {
	Server string     `json:"server"`
	Sealed bool       `json:"sealed"`
	Kinds  []kek.Kind `json:"kinds,omitempty"` // what unseals it from a client; while it is sealed
	*api.Seals
	Keys  *api.Keys `json:"keys,omitempty"`
	Hints []string  `json:"hints,omitempty"` // what to do
}

func (p *program) sealStatus() *cobra.Command {
	c := verb("status", "Say whether the vault is sealed; signed in, list its seals and the age of its keys",
		"  sallyport seal status --server http://127.0.0.1:7411", takes(0), func(cmd *cobra.Command, _ []string) error {
			s, err := p.status(cmd.Context())
			if err != nil {
				return err
			}
			return p.result(s, func() { p.showStatus(s) })
		})
	c.Long = `Says whether the vault is sealed; to an admin or auditor who is signed in, also
its seals, those that the server was started with, and the age of its keys.

With --json it is one object: server, sealed, kinds (what unseals it from a client,
while it is sealed), seals (id, kind, keyId, createdAt, refused), atHand (kind,
seal, unreachable), alone (the server unseals by itself when it is started again
as it was), keys (vault, generation, rootSince, term, termSince, older, versions,
rotating, failed, hints) and hints.`
	return c
}

func (p *program) status(ctx context.Context) (sealStatus, error) {
	c, server, err := p.stranger()
	if err != nil {
		return sealStatus{}, err
	}
	var st api.SealState
	if err := c.Call(ctx, "GET", "/v1/seal", nil, &st); err != nil {
		return sealStatus{}, err
	}
	out := sealStatus{Server: server, Sealed: st.Sealed, Kinds: st.Kinds}
	if st.Sealed {
		out.Hints = []string{"unseal it with: sallyport seal unseal"}
		return out, nil
	}
	in, err := p.signedIn()
	if fault.Is(err, fault.Unauthenticated) {
		out.Hints = []string{hintSignIn}
		return out, nil
	}
	if err != nil {
		return out, err
	}
	var seals api.Seals
	var keys api.Keys
	err = in.Call(ctx, "GET", "/v1/seals", nil, &seals)
	if err == nil {
		err = in.Call(ctx, "GET", "/v1/keys", nil, &keys)
	}
	if refused, ok := errors.AsType[*client.Problem](err); ok && (refused.Kind == string(fault.Denied) || refused.Kind == string(fault.Unauthenticated)) {
		out.Hints = []string{hintSignIn} // what strangers may know is the answer
		if refused.Kind == string(fault.Denied) {
			out.Hints = []string{"the seals and the age of the keys are for an admin or auditor"}
		}
		return out, nil
	}
	out.Seals, out.Keys = &seals, &keys
	out.Hints = append(sealHints(seals), keys.Hints...)
	return out, err
}

// hintSignIn is for who is not signed in, or no longer.
const hintSignIn = "sign in as admin or auditor to see the seals and the age of the keys: sallyport login"

// sealHints says what to do about the seals.
func sealHints(s api.Seals) []string {
	var out []string
	for _, i := range s.Seals {
		if i.Refused != "" {
			out = append(out, "the seal "+i.ID+" is refused: find out who changed the database, then: sallyport key rotate root")
		}
	}
	if !s.Alone {
		out = append(out, "nothing that the server was started with unseals it: at its next start somebody has to")
	}
	if len(s.Seals) == 1 {
		out = append(out, "there is one seal: who loses it loses every Secret; add a recovery key: sallyport seal recovery-key --help")
	}
	return out
}

func (p *program) showStatus(s sealStatus) {
	word := "unsealed"
	if s.Sealed {
		word = "sealed"
	}
	p.line("%s: %s", s.Server, word)
	if len(s.Kinds) > 0 {
		p.line("unseals with: %s", join(s.Kinds))
	}
	if s.Seals != nil {
		p.showSeals(*s.Seals)
		p.showKeys(*s.Keys)
	}
	for _, h := range s.Hints {
		p.say("hint: %s", h)
	}
}

func (p *program) showSeals(s api.Seals) {
	var rows [][]string
	for _, i := range s.Seals {
		note := i.Refused
		if slices.ContainsFunc(s.AtHand, func(h api.AtHand) bool { return h.Seal == i.ID }) {
			note = strings.TrimSpace("at hand " + note)
		}
		rows = append(rows, []string{i.ID, string(i.Kind), i.KeyID, when(i.CreatedAt), note})
	}
	for _, h := range s.AtHand {
		switch {
		case h.Unreachable:
			rows = append(rows, []string{"-", string(h.Kind), "", "", "at hand, and not there or out of reach"})
		case h.Seal == "":
			rows = append(rows, []string{"-", string(h.Kind), "", "", "at hand, and not a seal of the vault"})
		}
	}
	p.table("there are no seals", []string{"SEAL", "KIND", "KEY", "SINCE", "NOTE"}, rows)
}
