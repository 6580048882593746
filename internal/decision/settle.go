package decision

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Request is a person's verdict.
type Request struct {
	Tenant   ident.Tenant
	Decision string
	Verdict  Verdict
	Digest   intent.Digest // on the page that it was decided from
	Reason   string        // one line; the Worker reads that of a rejection
	Who      ident.Principal
	Factor   *Factor // made for Decision.Act(Verdict, Who.ID)
}

// Decide judges a verdict and makes it durable with what follows from it. What is
// refused is on the record too: somebody tried. Errors: a [Refusal], NotFound,
// Invalid, Unavailable.
func (k *Desk) Decide(ctx context.Context, r Request, now time.Time) (Decision, error) {
	if r.Who.Tenant != r.Tenant {
		return Decision{}, Refuse(OtherTenant)
	}
	reason, err := CleanReason(r.Reason)
	if err != nil {
		return Decision{}, err
	}
	it, err := k.whole(ctx, r.Tenant, r.Decision)
	if err != nil {
		return Decision{}, err
	}
	d, err := k.decide(ctx, r, it, reason, now)
	if code := CodeOf(err); code != "" {
		if e := k.Store.Refused(ctx, refusedVerdict(it.Decision, r, code, now)); e != nil {
			return Decision{}, fault.Wrap(fault.Unavailable, "recording a refused verdict", e)
		}
	}
	return d, err
}

func (k *Desk) decide(ctx context.Context, r Request, it Item, reason string, now time.Time) (Decision, error) {
	d := it.Decision
	altered, err := k.alters(ctx, it) // by the secrets that are known now, whatever a page has shown
	if err != nil {
		return Decision{}, err
	}
	c := Candidate{Principal: r.Who, Factor: r.Factor, Seen: r.Digest, Altered: len(altered) > 0}
	if d.SelfApproval, err = k.judge(ctx, it, c, r.Verdict, now); err != nil {
		return Decision{}, err
	}
	d.By, d.ByName, d.Factor, d.Method = r.Who.ID, r.Who.Name, r.Factor.ID, r.Factor.Method
	d.Reason = k.Clean(d.Tenant, reason)
	return k.settle(ctx, verdict(d, r), r.Who.String(), now)
}

// judge looks up what a candidate is judged by.
func (k *Desk) judge(ctx context.Context, it Item, c Candidate, v Verdict, now time.Time) (self bool, err error) {
	d := it.Decision
	c.Since, err = k.Facts.MemberSince(ctx, d.Tenant, d.TeamID, c.Principal.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return false, err
	}
	parties, err := k.Involved.Parties(ctx, it.Intent)
	if err != nil {
		return false, err
	}
	return Judge(d, it.Intent, c, v, parties, now)
}

// Would says why a verdict of a person on what Get or Queue gave would not count,
// with all but the factor judged as it will be; no is nil where it would.
func (k *Desk) Would(ctx context.Context, who ident.Principal, it Item, v Verdict, now time.Time) (no, err error) {
	c := Candidate{Principal: who, Seen: it.Decision.Digest, Altered: it.Held != nil}
	if it.Held != nil { // what is shown of it can't be judged
		if it, err = k.whole(ctx, it.Decision.Tenant, it.Decision.ID); err != nil {
			return nil, err
		}
	}
	_, err = k.judge(ctx, it, c, v, now)
	switch code := CodeOf(err); {
	case code == NoFactor:
		return nil, nil
	case code != "" || fault.Is(err, fault.Denied): // also: its Mission was removed
		return err, nil
	}
	return nil, err
}

// verdict is what follows from a verdict that counts.
func verdict(d Decision, r Request) Settlement {
	s := Settlement{Decision: d, To: intent.Approved, Factor: r.Factor, Title: "approved by " + r.Who.Name}
	s.Decision.State = Approved
	if r.Verdict == Reject {
		s.Decision.State, s.To = Rejected, intent.Rejected
		s.Title, s.Why = "rejected by "+r.Who.Name, "an approver rejected it"
		if d.Reason != "" {
			s.Why += ": " + d.Reason
		}
	}
	if d.SelfApproval {
		s.Title += " (self-approval, which the Mission allows)"
	}
	return s
}

// refusedVerdict is the entry of a verdict that does not count. The verdict and
// the digest are the caller's words, so only those of a known form are in it.
func refusedVerdict(d Decision, r Request, code Code, now time.Time) audit.Event {
	f := map[string]any{"decision": d.ID, "digest": d.Digest, "team": d.TeamID, "why": string(code)}
	if r.Verdict == Approve || r.Verdict == Reject {
		f["verdict"] = r.Verdict
	}
	if r.Factor != nil {
		f["factor"], f["method"] = r.Factor.ID, r.Factor.Method
	}
	return audit.Event{Type: audit.VerdictRefused, Tenant: d.Tenant, At: now, Actor: r.Who.String(),
		Run: d.Run, Mission: d.Mission, Intent: d.Intent, Fields: f}
}

// settle completes a settlement and hands it to the store.
func (k *Desk) settle(ctx context.Context, s Settlement, actor string, now time.Time) (Decision, error) {
	s.At, s.Decision.DecidedAt = now, now
	s.Title, s.Text = k.Clean(s.Decision.Tenant, s.Title), s.Decision.Reason
	s.Event = decided(s.Decision, actor, now)
	if err := k.Store.Settle(ctx, s); err != nil {
		return Decision{}, err
	}
	k.Wake(s.Decision.Tenant, s.Decision.Run)
	return s.Decision, nil
}

func decided(d Decision, actor string, now time.Time) audit.Event {
	return audit.Event{Type: audit.IntentDecided, Tenant: d.Tenant, At: now, Actor: actor, Run: d.Run, Mission: d.Mission, Intent: d.Intent,
		Fields: map[string]any{
			"decision": d.ID, "digest": d.Digest, "revision": d.Revision, "verdict": d.State, "team": d.TeamID, "approvers": d.Approvers(),
			"factor": d.Factor, "selfApproval": d.SelfApproval, "expires": d.ExpiresAt, "why": audit.Short(d.Reason),
		}}
}

// Withdraw takes an open item out of the queue: the Run's Worker, who started
// the Run, or the product itself. Errors: Denied, a [Refusal], NotFound.
func (k *Desk) Withdraw(ctx context.Context, who ident.Principal, tenant ident.Tenant, id, reason string, now time.Time) (Decision, error) {
	if who.Tenant != tenant {
		return Decision{}, Refuse(OtherTenant)
	}
	reason, err := CleanReason(reason)
	if err != nil {
		return Decision{}, err
	}
	it, err := k.whole(ctx, tenant, id)
	if err != nil {
		return Decision{}, err
	}
	d := it.Decision
	worker := who.Kind == ident.Run && who.ID == d.Run
	starter := who.Kind == ident.Person && (it.Intent.Starter == who.ID || it.Intent.Starter == who.String())
	if !worker && !starter && who.Kind != ident.System {
		return Decision{}, fault.New(fault.Denied, "only the Run's Worker or who started the Run can withdraw its action")
	}
	d.State, d.Reason = Withdrawn, k.Clean(tenant, reason)
	why := "it was withdrawn"
	if d.Reason != "" {
		why += ": " + d.Reason
	}
	return k.settle(ctx, Settlement{Decision: d, To: intent.Withdrawn, Why: why, Title: "withdrawn"}, who.String(), now)
}

// sweepPage is how many expired Decisions one look takes.
const sweepPage = 100

// Expire ends the open Decisions of every tenant whose time is over, and says
// how many. It goes on after one that can't be ended, and returns the first
// such error; the others are looked at again next time.
func (k *Desk) Expire(ctx context.Context, now time.Time) (n int, err error) {
	for ctx.Err() == nil {
		ds, lerr := k.Store.OverdueDecisions(ctx, now, sweepPage)
		if lerr != nil {
			return n, lerr
		}
		ended := 0
		for _, d := range ds {
			d.State = Expired
			_, serr := k.settle(ctx, Settlement{Decision: d, To: intent.Expired, Why: "nobody decided in time", Title: "expired: nobody decided in time"}, "system:sweeper", now)
			switch {
			case serr == nil:
				ended++
			case err == nil && CodeOf(serr) == "": // a refusal: somebody was faster
				err = serr
			}
		}
		n += ended
		if len(ds) < sweepPage || ended == 0 {
			return n, err
		}
	}
	return n, fault.Wrap(fault.Unavailable, "looking for expired Decisions", ctx.Err())
}
