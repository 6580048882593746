package gate

import (
	"context"
	"encoding/json"
	"fmt"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/vault"
)

// typed finds what people paste into forms by mistake: only formats that are
// sure, since what is refused here can't be sent at all.
var typed = unknown.New(unknown.Sure, nil)

// LooksSecret is the refusal of an input that has what looks like a secret. Who
// typed it can hand it in; see [Gate.HandIn].
type LooksSecret struct{ Fault *fault.Error }

// Error says the first place and its rule, never the value.
func (e *LooksSecret) Error() string { return e.Fault.Error() }

// Unwrap gives the fault.
func (e *LooksSecret) Unwrap() error { return e.Fault }

// typedIn finds what looks like a secret in a canonical input.
func typedIn(input []byte) []met {
	found := typed.Find(input)
	if len(found) == 0 {
		return nil
	}
	list := leaves(input)
	out := make([]met, len(found))
	for i, f := range found {
		out[i] = locate(f, input, list)
	}
	return out
}

// refuseTyped refuses an input that has what looks like a secret.
func refuseTyped(input []byte) error {
	found := typedIn(input)
	if len(found) == 0 {
		return nil
	}
	defer wipe(found)
	return &LooksSecret{fault.Newf(fault.Denied, "the input has what looks like a secret (%s, at %s); a model would read it", found[0].Rule, fault.Quote(found[0].pointer)).
		WithHint("leave it out, and rotate it when others have seen it; or hand it in, and an admin stores it as a Secret for a Connection to use")}
}

func wipe(found []met) {
	for _, m := range found {
		clear(m.value)
	}
}

// HandedIn is what became of an input that was handed in.
type HandedIn struct {
	Input json.RawMessage `json:"input"` // without what was taken out; a mark is in its place
	Taken []Taken         `json:"taken"`
}

// Taken is one place of it.
type Taken struct {
	Place string `json:"place"` // a JSON pointer
	Rule  string `json:"rule"`
	Kept  bool   `json:"kept"`          // in quarantine, for an admin to look at
	Why   string `json:"why,omitempty"` // why it was not kept
}

// HandIn takes what looks like a secret out of an input that a person typed, and
// keeps it in quarantine for an admin. It starts no Run. Invalid: there is
// nothing of the kind. Denied: the caller may not start the Mission, or the input
// has a known secret.
func (g *Gate) HandIn(ctx context.Context, who ident.Principal, s Start) (HandedIn, error) {
	var out HandedIn
	if err := g.Machine.Halted(); err != nil {
		return out, err
	}
	if err := mayStart(who); err != nil {
		return out, err
	}
	m, err := g.mission(ctx, who, s)
	if err != nil {
		return out, err
	}
	input, err := g.readInput(ctx, who, m, s.Input)
	if err != nil {
		return out, err
	}
	found := typedIn(input)
	if len(found) == 0 {
		return out, fault.New(fault.Invalid, "nothing in the input looks like a secret").WithHint("start the Run with it; or an admin stores it with: sallyport secret set NAME")
	}
	defer wipe(found)
	for i, t := range found {
		kept, why := "", fmt.Sprintf("the input has more than %d", maxMet)
		if i < maxMet {
			kept, why = g.keep(ctx, vault.Found{Tenant: who.Tenant, Value: t.value, Note: "typed into the form of the Mission " + m.Name,
				What: whatOf(t.Finding), Actor: who})
		}
		if i <= maxMet { // the last of these stands for all that were too many
			if err := g.handedIn(ctx, who, m.Name, t, kept, why); err != nil {
				return out, err
			}
		}
		out.Taken = append(out.Taken, Taken{Place: t.pointer, Rule: t.Rule, Kept: kept != "", Why: why})
	}
	out.Input = unknown.Replace(input, findings(found))
	if !json.Valid(out.Input) {
		out.Input, err = intent.Marshal(string(out.Input))
	}
	return out, err
}

func whatOf(f unknown.Finding) vault.Quarantined {
	return vault.Quarantined{Rule: f.Rule, Family: f.Family, Sure: f.Confidence == unknown.Sure}
}

// keep puts a value into quarantine: the name under which it is kept, or why it
// is not.
func (g *Gate) keep(ctx context.Context, f vault.Found) (name, why string) {
	name, err := g.Vault.Quarantine(ctx, f)
	if err != nil {
		return "", fault.Quote(unknown.String(err.Error()))
	}
	return name, ""
}
