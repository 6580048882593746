package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// typed is what somebody wrote into the forms of a Decision's page, to be shown again
// when it was not taken.
type typed struct {
	Args, Why, Question, Glass string
}

// edit takes changed arguments.
func (v *visit) edit() error {
	it, err := v.decision()
	if err != nil {
		return err
	}
	said := typed{Args: v.PostFormValue("args"), Why: v.PostFormValue("reason")}
	if !json.Valid([]byte(said.Args)) {
		return v.notTaken(it, said, fault.New(fault.Invalid, "the arguments are not JSON"))
	}
	d, err := v.Gate.Edit(v.Context(), v.who, gate.Edit{Decision: it.Decision.ID, Seen: intent.Digest(v.PostFormValue("digest")),
		Args: json.RawMessage(said.Args), Reason: said.Why})
	if err != nil {
		if fault.Is(err, fault.Denied) {
			said = typed{} // a known secret may be in it
		}
		return v.notTaken(it, said, err)
	}
	v.redirect("/decisions/" + d.ID + "?done=edited")
	return nil
}

// ask takes a question to who started the Run.
func (v *visit) ask() error {
	it, err := v.decision()
	if err != nil {
		return err
	}
	said := typed{Question: v.PostFormValue("text")}
	if _, err := v.Desk.Ask(v.Context(), v.who, it.Decision.ID, intent.Digest(v.PostFormValue("digest")), said.Question, v.Now()); err != nil {
		if fault.Is(err, fault.Denied) {
			said = typed{}
		}
		return v.notTaken(it, said, err)
	}
	v.redirect("/decisions/" + it.Decision.ID + "?done=asked")
	return nil
}

// answer takes the answer of who started the Run.
func (v *visit) answer() error {
	r, err := v.run()
	if err != nil {
		return err
	}
	if _, err := v.Desk.Answer(v.Context(), v.who, v.PostFormValue("decision"), v.PathValue("question"), v.PostFormValue("text"), v.Now()); err != nil {
		return err
	}
	v.redirect("/runs/" + r.ID + "?done=answered")
	return nil
}

// breakGlass takes an admin's approval in place of the Teams.
func (v *visit) breakGlass() error {
	it, err := v.decision()
	if err != nil {
		return err
	}
	reason := v.PostFormValue("reason")
	if err := v.glass(it, reason); err != nil {
		return v.notTaken(it, typed{Glass: reason}, err)
	}
	v.redirect("/decisions/" + it.Decision.ID + "?done=decided")
	return nil
}

func (v *visit) glass(it decision.Item, reason string) error {
	seen := intent.Digest(v.PostFormValue("digest"))
	no, err := v.Desk.Would(v.Context(), v.who, it, decision.Glass, v.Now())
	switch {
	case err != nil:
		return err
	case no != nil:
		return no
	case !seen.Equal(it.Decision.Digest):
		return decision.Refuse(decision.Changed)
	}
	clean, err := decision.CleanReason(reason)
	if err != nil {
		return err
	}
	if clean == "" {
		return decision.Refuse(decision.NoReason)
	}
	f, err := v.proof(it, decision.Glass)
	if err != nil {
		return err
	}
	_, err = v.Desk.Decide(v.Context(), decision.Request{Tenant: v.who.Tenant, Decision: it.Decision.ID, Verdict: decision.Glass, Digest: seen, Reason: reason, Who: v.who, Factor: f}, v.Now())
	return err
}

// notTaken shows the page as it is now with why, and what was written.
func (v *visit) notTaken(it decision.Item, said typed, cause error) error {
	if now, err := v.decision(); err == nil {
		it = now
	}
	p, err := v.decisionPage(it)
	if err != nil {
		return err
	}
	if said.Args = plain(said.Args); said.Args == "" {
		said.Args = p.Typed.Args
	}
	var status int
	status, p.Problem = v.notDone(cause, "Nothing was changed")
	p.Typed = said
	v.render(status, p)
	return nil
}

// plain writes what can't be seen in a JSON text as its escapes, which mean the same:
// who changes the text sees what is in it.
func plain(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r) || r == '\n' || r == '\t' || r == '\r':
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// more says on the page what its viewer can do besides a verdict.
func (v *visit) more(p *decisionPage) error {
	if p.Item.Decision.State != decision.Open || p.Item.Held != nil {
		return nil
	}
	p.Typed.Args = plain(pretty(p.Item.Intent.Bound.Args))
	if v.who.Has(ident.Approver) {
		no, err := v.Desk.Would(v.Context(), v.who, p.Item, decision.Reject, v.Now())
		if err != nil {
			return err
		}
		p.CanEdit = no == nil
	}
	if v.who.Has(ident.Admin) {
		no, err := v.Desk.Would(v.Context(), v.who, p.Item, decision.Glass, v.Now())
		if err != nil {
			return err
		}
		p.CanBreak = no == nil
	}
	return nil
}

// question is one on a Run's page.
type question struct {
	decision.Note
	Answer *decision.Note
	Mine   bool // who is signed in can answer it
}

// questions pairs a Run's questions with their answers.
func (v *visit) questions(r intent.Run) ([]question, error) {
	notes, err := v.Desk.Questions(v.Context(), r.Tenant, r.ID)
	var out []question
	for _, n := range notes {
		if n.Answers == "" {
			out = append(out, question{Note: n, Mine: r.Starter == v.who.String() && r.State != intent.RunEnded})
			continue
		}
		for i := range out {
			if out[i].ID == n.Answers {
				out[i].Answer, out[i].Mine = &n, false
			}
		}
	}
	return out, err
}
