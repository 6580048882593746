package decision

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// MaxNote is the most bytes of a question, and of an answer; MaxNotes is how many
// there can be on one action.
const (
	MaxNote  = 2000
	MaxNotes = 50
)

// Note is a question of an approver to who started the Run, or the answer.
type Note struct {
	ID       string    `json:"id"`
	Decision string    `json:"decision"`
	Intent   string    `json:"intent"`
	Run      string    `json:"run"`
	Answers  string    `json:"answers,omitempty"` // the question's id; empty in a question
	Account  string    `json:"account"`
	Name     string    `json:"name"`
	Text     string    `json:"text"`
	Salt     string    `json:"-"` // of the text's digest in the audit log; it is erased with the text
	At       time.Time `json:"at"`
}

// Telling is a Note with what becomes true with it. The store compares that the
// Decision is open, that there are fewer than [MaxNotes] on its Intent, and of an
// answer that the question is there, on the same Intent, and has none.
type Telling struct {
	Tenant ident.Tenant
	Note   Note
	Event  audit.Event
	Title  string // of the Observation, scrubbed
}

// Ask has an approver ask who started the Run. The answer is asked for on the Run's
// rail. seen is the digest of the page. Errors: a [Refusal], Invalid, NotFound;
// Denied for a text that has a known secret in it.
func (k *Desk) Ask(ctx context.Context, who ident.Principal, id string, seen intent.Digest, text string, now time.Time) (Note, error) {
	it, err := k.whole(ctx, who.Tenant, id)
	if err != nil {
		return Note{}, err
	}
	if err := k.eligible(ctx, who, it, seen, now); err != nil {
		if code := CodeOf(err); code != "" {
			err = k.refused(ctx, it.Decision, Request{Verdict: asking, Who: who}, code, err, now)
		}
		return Note{}, err
	}
	return k.tell(ctx, who, it.Decision, "", text, now)
}

// Answer has who started the Run answer a question, once.
func (k *Desk) Answer(ctx context.Context, who ident.Principal, id, question, text string, now time.Time) (Note, error) {
	it, err := k.whole(ctx, who.Tenant, id)
	if err != nil {
		return Note{}, err
	}
	if who.Kind != ident.Person || it.Intent.Starter != who.String() && it.Intent.Starter != who.ID {
		return Note{}, Refuse(OtherTenant) // it does not exist for them
	}
	if it.Decision.State != Open { // it was changed since it was asked, say
		open, err := k.Store.Decisions(ctx, who.Tenant, Filter{Intent: it.Decision.Intent, State: Open, Limit: 1})
		if err != nil {
			return Note{}, err
		}
		if len(open) == 1 {
			it.Decision = open[0]
		}
	}
	if question == "" {
		return Note{}, fault.New(fault.Invalid, "an answer names its question")
	}
	return k.tell(ctx, who, it.Decision, question, text, now)
}

// Questions are those about a Run's actions, with their answers: for who may see
// the Run.
func (k *Desk) Questions(ctx context.Context, tenant ident.Tenant, run string) ([]Note, error) {
	notes, err := k.Papers.Notes(ctx, tenant, run, "")
	for i := range notes { // a Secret may have been stored since
		notes[i].Text = k.Clean(tenant, notes[i].Text)
	}
	return notes, err
}

func (k *Desk) tell(ctx context.Context, who ident.Principal, d Decision, question, text string, now time.Time) (Note, error) {
	text, err := CleanNote(text)
	if err != nil {
		return Note{}, err
	}
	switch met, err := k.Known(d.Tenant, []byte(text)); {
	case err != nil:
		return Note{}, err
	case len(met) > 0:
		return Note{}, fault.New(fault.Denied, "the text holds a known secret, so nobody gets to read it").WithHint("leave credentials out")
	}
	n := Note{ID: ident.New("note"), Decision: d.ID, Intent: d.Intent, Run: d.Run, Answers: question, Account: who.ID, Name: who.Name, Text: text, Salt: ident.New("salt"), At: now}
	typ, title := audit.DecisionAsked, who.Name+" asks who started the Run about it"
	if question != "" {
		typ, title = audit.DecisionAnswered, who.Name+" answers"
	}
	ev := []audit.Event{eventOf(d, typ, who.String(), now, map[string]any{"decision": d.ID, "digest": d.Digest, "name": n.ID, "result": intent.Salted(n.Salt, []byte(text))})}
	if err := k.attribute(ctx, ev...); err != nil {
		return Note{}, err
	}
	err = k.Papers.Tell(ctx, Telling{Tenant: d.Tenant, Note: n, Event: ev[0], Title: k.Clean(d.Tenant, title)})
	if err != nil {
		return Note{}, err
	}
	k.Wake(d.Tenant, d.Run)
	return n, nil
}

// CleanNote makes a text one of visible characters and line ends. Kind Invalid when
// it is empty, too long or not text.
func CleanNote(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fault.New(fault.Invalid, "it is not valid text")
	}
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r): // control and invisible direction characters
			return -1
		}
		return r
	}, s))
	if s == "" || len(s) > MaxNote {
		return "", fault.Newf(fault.Invalid, "a question or an answer has 1 to %d bytes", MaxNote)
	}
	return s, nil
}
