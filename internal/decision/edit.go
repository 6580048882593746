package decision

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// MaxEdits is how often an action can be changed: each change asks people again.
const MaxEdits = 50

// Revision is what an action was before an approver changed it, with who did.
type Revision struct {
	Number  int             `json:"number"`
	Digest  intent.Digest   `json:"digest"`
	Args    json.RawMessage `json:"args"`
	At      time.Time       `json:"at"`
	By      string          `json:"by"` // account id
	ByName  string          `json:"byName"`
	Reason  string          `json:"reason,omitempty"`
	Changes []intent.Change `json:"changes"` // to what it became
}

// Earlier says whether a Decision is about an earlier revision of its action than
// what the Intent is now.
func (it Item) Earlier() bool { return it.Decision.Revision != it.Intent.Revision }

// Was is what the action was at the revision of a Decision that is about an earlier
// one: arguments and who changed them. ok is false where that was not kept, or is not
// what the Decision was bound to. What its request was is not kept.
func (it Item) Was() (was Revision, ok bool) {
	for _, r := range it.Edits {
		if r.Number == it.Decision.Revision && it.Earlier() && r.Digest.Equal(it.Decision.Digest) {
			return r, true
		}
	}
	return Revision{}, false
}

// Editable gives a Decision whose action the person may change: who could reject
// it, and looked at it as it is now. It takes no Factor, because a change approves
// nothing: every vote is void, and it is voted on anew. What is held can't be
// changed. Errors: a [Refusal], which is on the record; NotFound.
func (k *Desk) Editable(ctx context.Context, who ident.Principal, id string, seen intent.Digest, now time.Time) (Item, error) {
	it, err := k.whole(ctx, who.Tenant, id)
	if err != nil {
		return it, err
	}
	if err = k.eligible(ctx, who, it, seen, now); err == nil {
		var altered []string
		if altered, err = k.alters(ctx, it); err == nil && len(altered) > 0 {
			err = Refuse(Altered)
		}
	}
	if code := CodeOf(err); code != "" {
		return Item{}, k.refused(ctx, it.Decision, Request{Verdict: editing, Who: who}, code, err, now)
	}
	return it, err
}

// What is tried besides a verdict, as the entry of its refusal names it. They are no
// verdicts: nothing is decided by them.
const (
	editing Verdict = "edit"
	asking  Verdict = "ask"
)

// eligible refuses who could not decide on an item, whatever they would say. By which
// proof they would decide does not matter: what they do instead takes none.
func (k *Desk) eligible(ctx context.Context, who ident.Principal, it Item, seen intent.Digest, now time.Time) error {
	if !who.Has(ident.Approver) {
		return fault.New(fault.Denied, "your account does not have the role approver")
	}
	_, err := k.judge(ctx, it, Candidate{Principal: who, Seen: seen}, Reject, now)
	if code := CodeOf(err); code == NoFactor || code == NeedsPasskey {
		return nil
	}
	return err
}
