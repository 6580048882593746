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
	t := parse(input)
	out := make([]met, len(found))
	for i, f := range found {
		out[i] = locate(f, input, t)
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
	return &LooksSecret{fault.Newf(fault.Denied, "the input has what looks like a secret (%s, at %s); a model would read it", found[0].Rule, fault.Quote(found[0].pointer())).
		WithHint("leave it out, and rotate it when others have seen it; or hand it in (--hand-in on the command line, a button on the form): an admin stores it as a Secret for a Connection to use")}
}

// pointer is where it is, for who typed it.
func (m met) pointer() string {
	if m.at < 0 {
		return ""
	}
	return m.in.pointer(m.at)
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
	if err := g.mayType(who); err != nil {
		return out, err
	}
	g.tries.add(callerKey("miss", who), 1, g.Now())
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
				What: whatOf(t), Actor: who})
		}
		if i <= maxMet { // the last of these stands for all that were too many
			if err := g.handedIn(ctx, who, m.Name, t, kept, why); err != nil {
				return out, err
			}
		}
		if why != "" {
			why = "the quarantine does not take it" // the reason is for admins: it can say what others dismissed
		}
		out.Taken = append(out.Taken, Taken{Place: t.pointer(), Rule: t.Rule, Kept: kept != "", Why: why})
	}
	out.Input = unknown.Replace(input, findings(found))
	if !json.Valid(out.Input) {
		out.Input, err = intent.Marshal(string(out.Input))
	}
	return out, err
}

// whatOf says what a value is taken for. It is sure only where the value alone is:
// a system that calls an account's number a key must not blank it out elsewhere.
func whatOf(m met) vault.Quarantined {
	alone := typed.Find(m.value)
	sure := len(alone) == 1 && alone[0].Start == 0 && alone[0].End == len(m.value)
	return vault.Quarantined{Rule: m.Rule, Family: m.Family, Sure: sure}
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
