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
		return Item{}, k.refused(ctx, it.Decision, Request{Who: who}, code, err, now)
	}
	return it, err
}

// eligible refuses who could not decide on an item, whatever they would say.
func (k *Desk) eligible(ctx context.Context, who ident.Principal, it Item, seen intent.Digest, now time.Time) error {
	if !who.Has(ident.Approver) {
		return fault.New(fault.Denied, "your account does not have the role approver")
	}
	_, err := k.judge(ctx, it, Candidate{Principal: who, Seen: seen}, Reject, now)
	if CodeOf(err) == NoFactor {
		return nil
	}
	return err
}
