package gate

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// Hypothetical is a call that policy is asked about, and that nobody makes: of a
// Run, or of a Run that the caller would start of a Mission.
type Hypothetical struct {
	Run        string          `json:"run,omitempty"`
	Mission    string          `json:"mission,omitempty"` // instead of a Run
	Worker     string          `json:"worker,omitempty"`  // of a Mission's: built-in, if nothing is said, outside, or the name of an outside Worker that the Mission lists
	Connection string          `json:"connection"`
	Tool       string          `json:"tool"`
	Args       json.RawMessage `json:"args,omitempty"`
	At         time.Time       `json:"at,omitzero"`      // when it would be made; now, if nothing is said
	From       string          `json:"source,omitempty"` // of a Mission's: the IP address that it would come from; the caller's, if nothing is said
	Source     netip.Addr      `json:"-"`                // of a Mission's: where the caller's request came from
}

// Explained is what policy says about a call, and why.
type Explained struct {
	Effect     policy.Effect      `json:"effect"`
	Why        string             `json:"why"`
	Reasons    []string           `json:"reasons"`
	Approvers  []policy.Approver  `json:"approvers"` // policy's, or where it names none the Mission's
	Expires    string             `json:"expires,omitempty"`
	PinSecret  bool               `json:"pinSecret,omitempty"`
	Passkey    bool               `json:"passkey,omitempty"`
	Statements []policy.Statement `json:"statements"`
	Limits     []LimitUse         `json:"limits"`
	Observed   []policy.Observed  `json:"observed"`
	PolicySet  string             `json:"policySet"` // SHA-256 of the policies
}

// LimitUse is a rate or a budget that the call would use.
type LimitUse struct {
	Statement string         `json:"statement"`
	Kind      policy.UseKind `json:"kind"`
	Limit     string         `json:"limit"`
	Used      string         `json:"used"`   // by others, within the window
	Amount    string         `json:"amount"` // of this call
	Within    bool           `json:"within"`
	Observed  bool           `json:"observed,omitempty"`
}

// Explain says what policy would say. Nothing is executed, counted or written
// down. Builders, auditors and admins may ask about every Run and Mission; who
// started a Run about that one. What somebody may not ask about does not exist for
// them. Denied: what they ask holds a known secret.
func (g *Gate) Explain(ctx context.Context, who ident.Principal, h Hypothetical) (Explained, error) {
	c, err := g.hypothetical(ctx, who, &h)
	if err != nil {
		return Explained{}, err
	}
	if c.world, err = g.World(who.Tenant); err != nil {
		return Explained{}, err
	}
	if c.match, err = c.world.Catalog.Match(c.run.Mission, h.Connection, h.Tool); err != nil {
		return Explained{Effect: policy.Deny, Why: err.Error() + c.nearest(h), Reasons: []string{}, Approvers: []policy.Approver{}, Statements: []policy.Statement{},
			Limits: []LimitUse{}, Observed: []policy.Observed{}, PolicySet: c.world.Policy.Hash()}, nil
	}
	c.it.Effect = c.match.Tool.Effect
	if err := c.match.Kind.Check(h.Tool, c.it.Args); err != nil {
		return Explained{}, err
	}
	q := c.question()
	if q.Now = h.At; q.Now.IsZero() {
		q.Now = g.Now()
	}
	q.Used = func(u policy.Use) (int64, error) {
		used, _, err := g.Earlier.PolicyUse(ctx, q.Tenant, u, "", q.Now)
		return used, err
	}
	q.Untrusted = func() []string {
		if h.Run == "" {
			return nil // a Run that nobody has started has seen nothing
		}
		return g.trace(ctx, c).Pointers()
	}
	x := c.world.Policy.Explain(q)
	c.verdict = x.Verdict
	return c.explained(x), nil
}

// nearest says which of the Mission's own Tools may have been meant by one that it
// does not hold: an Integration's name often stands where a Connection's belongs.
func (c *candidate) nearest(h Hypothetical) string {
	var near, all []string
	for _, t := range c.world.Catalog.Tools(c.run.Mission) {
		name := t.Connection + "/" + t.Tool.Name
		all = append(all, name)
		conn, _ := c.world.Catalog.Connection(t.Connection)
		if t.Tool.Name == h.Tool && conn != nil && conn.Integration == h.Connection {
			near = append(near, name)
		}
	}
	if len(near) > 0 {
		return ": " + h.Connection + " is an Integration; of its Connections the Mission holds " + strings.Join(near, ", ")
	}
	if like := resource.DidYouMean(h.Connection+"/"+h.Tool, all); like != "" {
		return ": " + like
	}
	return ""
}

// hypothetical makes the candidate that nobody proposed.
func (g *Gate) hypothetical(ctx context.Context, who ident.Principal, h *Hypothetical) (*candidate, error) {
	if (h.Run == "") == (h.Mission == "") {
		return nil, fault.New(fault.Invalid, "name a Run or a Mission, one of them")
	}
	if h.Run != "" && h.Worker != "" {
		return nil, fault.New(fault.Invalid, "a Run has its Worker: name one with a Mission only")
	}
	if h.Run != "" && h.From != "" {
		return nil, fault.New(fault.Invalid, "a Run has its source: name one with a Mission only")
	}
	if h.From != "" {
		from, err := netip.ParseAddr(h.From)
		if err != nil || from.Zone() != "" {
			return nil, fault.New(fault.Invalid, "the source is not an IP address")
		}
		h.Source = from
	}
	run, err := g.asked(ctx, who, h)
	if err != nil {
		return nil, err
	}
	p := intent.Proposal{Connection: h.Connection, Tool: h.Tool, Args: h.Args}
	bad := p.Check()
	set := g.Vault.Scrub(who.Tenant)
	if len(set.Contains(p.Args))+len(set.Contains([]byte(h.Run+"\n"+h.Mission+"\n"+h.Worker+"\n"+h.Connection+"\n"+h.Tool))) > 0 {
		return nil, fault.New(fault.Denied, "the question holds a known secret").WithHint("a credential is never part of the arguments: the Connection has it")
	}
	if bad != nil {
		return nil, bad
	}
	c := &candidate{run: run, it: intent.Intent{Tenant: who.Tenant, Run: run.ID, Mission: run.Mission, Starter: run.Starter,
		Connection: h.Connection, Tool: h.Tool, Args: p.Args, Source: run.Source}}
	return c, nil
}

// asked is the Run that is asked about, or one that the caller would start.
func (g *Gate) asked(ctx context.Context, who ident.Principal, h *Hypothetical) (intent.Run, error) {
	all := who.Has(ident.Builder) || who.Has(ident.Auditor) || who.Has(ident.Admin)
	if h.Run != "" {
		r, err := g.Runs.Run(ctx, who.Tenant, h.Run)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return r, err
		}
		if err != nil || !all && r.Starter != who.String() {
			return r, fault.Newf(fault.NotFound, "there is no Run %q that you may ask about", fault.Quote(h.Run))
		}
		return r, nil
	}
	if !who.Valid() || !all {
		return intent.Run{}, fault.New(fault.Denied, "builders, auditors and admins ask about a Mission").WithHint("who started a Run may ask about that one")
	}
	world, err := g.World(who.Tenant)
	if err != nil {
		return intent.Run{}, err
	}
	m, ok := world.Catalog.Mission(h.Mission)
	if !ok {
		return intent.Run{}, fault.Newf(fault.NotFound, "there is no Mission %q", fault.Quote(h.Mission)).WithHint("list them with: sallyport mission list")
	}
	if h.Worker == "" {
		h.Worker = intent.BuiltIn
	}
	if slices.Contains(m.Workers, h.Worker) && h.Worker != intent.BuiltIn && h.Worker != intent.Outside {
		return intent.Run{Tenant: who.Tenant, Mission: m.Name, Starter: principalOf(h.Worker), Worker: intent.Outside, Source: address(h.Source)}, nil
	}
	if h.Worker != intent.BuiltIn && h.Worker != intent.Outside {
		return intent.Run{}, fault.Newf(fault.Invalid, "a Worker is %s, %s, or one that the Mission lists", intent.BuiltIn, intent.Outside)
	}
	return intent.Run{Tenant: who.Tenant, Mission: m.Name, Starter: who.String(), Worker: h.Worker, Source: address(h.Source)}, nil
}

// explained puts a verdict into words.
func (c *candidate) explained(x policy.Explanation) Explained {
	v := x.Verdict
	if v.Effect != policy.Ask {
		v.Approvers, v.Expires, v.PinSecret, v.Passkey = nil, 0, false, false // nobody is asked
	}
	out := Explained{Effect: v.Effect, Why: v.Why, Reasons: append([]string{}, v.Reasons...), PinSecret: v.PinSecret, Passkey: v.Passkey,
		Approvers: append([]policy.Approver{}, v.Approvers...), Statements: append([]policy.Statement{}, x.Statements...), Limits: []LimitUse{},
		Observed: append([]policy.Observed{}, v.Observed...), PolicySet: v.Hash}
	for _, u := range x.Uses {
		out.Limits = append(out.Limits, LimitUse{Statement: u.Statement, Kind: u.Kind, Limit: u.Limit, Used: u.Figure(u.Used), Amount: u.Figure(u.Amount),
			Within: u.Within(u.Used), Observed: u.Observed})
	}
	expires := v.Expires
	if r := c.match.Decision; r != nil && v.Effect == policy.Ask {
		if len(out.Approvers) == 0 {
			out.Approvers = []policy.Approver{{Team: r.Team, Count: max(r.Count, 1)}}
		}
		if e := time.Duration(r.Expires); e != 0 && (expires == 0 || e < expires) {
			expires = e
		}
		out.PinSecret = out.PinSecret || r.PinSecret
	}
	if expires != 0 {
		out.Expires = expires.String()
	}
	return out
}
