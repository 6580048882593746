package decision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// MaxTogether is how many Decisions one confirmation can be for. Each of them was
// shown; a longer list is read by nobody.
const MaxTogether = 50

// Seen is a Decision as a person saw it.
type Seen struct {
	Decision string        `json:"decision"`
	Digest   intent.Digest `json:"digest"` // on the page that it was decided from
}

// Together is a person's one verdict on several Decisions that are alike.
type Together struct {
	Tenant  ident.Tenant
	List    []Seen
	Verdict Verdict // approve or reject
	Reason  string
	Who     ident.Principal
	Factor  *Factor // made for ActAll of the list, in its order
}

// ActAll is the digest of one person giving one verdict on a list of Decisions:
// what their Factor has to be for. It is for no single one of them, nor for a part
// of the list.
func ActAll(ds []Decision, v Verdict, account string) intent.Digest {
	acts := make([]any, len(ds))
	for i, d := range ds {
		acts[i] = d.Act(v, account)
	}
	return digestOf("sallyport verdicts v1", acts)
}

// digestOf is the SHA-256 of a thing that is said, or "" for what has no canonical
// form, which equals no digest: text that is not UTF-8 is in no Decision of ours.
func digestOf(what string, said any) intent.Digest {
	b, err := intent.Marshal(said)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte(what+"\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:]))
}

// Alike gives the items of a list with what a person's Factor for all of them has to
// be for. Errors: NotFound; Invalid for a list of none, of too many or with one
// twice; a [Refusal] for what is not alike: another Connection, Tool, policy or Team.
func (k *Desk) Alike(ctx context.Context, tenant ident.Tenant, ids []string, v Verdict, account string) ([]Item, intent.Digest, error) {
	if v != Approve && v != Reject {
		return nil, "", Refuse(NoVerdict)
	}
	if len(ids) == 0 || len(ids) > MaxTogether {
		return nil, "", fault.Newf(fault.Invalid, "1 to %d Decisions are decided together", MaxTogether)
	}
	items, ds := make([]Item, len(ids)), make([]Decision, len(ids))
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return nil, "", fault.New(fault.Invalid, "a Decision is in the list twice")
		}
		var err error
		if items[i], err = k.whole(ctx, tenant, id); err != nil {
			return nil, "", err
		}
		ds[i] = items[i].Decision
		if i > 0 && !SameKind(items[0], items[i]) {
			return nil, "", Refuse(Unlike)
		}
	}
	return items, ActAll(ds, v, account), nil
}

// SameKind says whether two actions are of one kind, for which the same is asked: such
// can be decided together.
func SameKind(a, b Item) bool {
	return a.Intent.Bound.Connection == b.Intent.Bound.Connection && a.Intent.Bound.Tool == b.Intent.Bound.Tool &&
		a.Decision.Mission == b.Decision.Mission && slices.Equal(a.Decision.Policies, b.Decision.Policies) && slices.Equal(a.Decision.Needs, b.Decision.Needs)
}

// DecideAll is Decide for several Decisions with one Factor: all the verdicts
// count, or none. It refuses the whole list for one that has changed since it was
// seen, or that the person may not decide on.
func (k *Desk) DecideAll(ctx context.Context, r Together, now time.Time) ([]Decision, error) {
	if r.Who.Tenant != r.Tenant {
		return nil, Refuse(OtherTenant)
	}
	reason, err := CleanReason(r.Reason)
	if err != nil {
		return nil, err
	}
	for range raceTries {
		var out []Decision
		if out, err = k.decideAll(ctx, r, reason, now); !errors.Is(err, ErrRaced) {
			return out, err
		}
	}
	return nil, err
}

func (k *Desk) decideAll(ctx context.Context, r Together, reason string, now time.Time) ([]Decision, error) {
	ids := make([]string, len(r.List))
	for i, s := range r.List {
		ids[i] = s.Decision
	}
	items, act, err := k.Alike(ctx, r.Tenant, ids, r.Verdict, r.Who.ID)
	if err != nil {
		return nil, err
	}
	all, out := make([]Settlement, len(items)), make([]Decision, len(items))
	for i, it := range items {
		one := Request{Tenant: r.Tenant, Decision: it.Decision.ID, Verdict: r.Verdict, Digest: r.List[i].Digest, Who: r.Who, Factor: r.Factor}
		all[i], err = k.vote(ctx, one, it, reason, act, now)
		if code := CodeOf(err); code != "" {
			return nil, k.refused(ctx, it.Decision, one, code, err, now)
		}
		if err != nil {
			return nil, err
		}
		out[i] = all[i].Decision
	}
	err = k.settle(ctx, now, all...)
	if code := CodeOf(err); code != "" {
		return nil, k.refused(ctx, items[0].Decision, Request{Verdict: r.Verdict, Who: r.Who, Factor: r.Factor}, code, err, now)
	}
	return out, err
}
