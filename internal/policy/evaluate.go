package policy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// The vocabulary that policies are written in.
const (
	typeWorker      cedar.EntityType = "Worker"      // id: the Run's; in its Mission; starter, name, owner: String
	typeMission     cedar.EntityType = "Mission"     // id: its name
	typeTool        cedar.EntityType = "Tool"        // id: "integration/tool"; in its Integration and the Connection used; effect: "read" or "write"
	typeIntegration cedar.EntityType = "Integration" // id: its name
	typeConnection  cedar.EntityType = "Connection"  // id: its name
)

var (
	actionCall       = cedar.NewEntityUID("Action", "call")
	actionUnattended = cedar.NewEntityUID("Action", "call_unattended")
)

// Question is one Intent, as policy sees it. Whether the Mission holds the
// Connection and the Connection allows the Tool was found before, by package
// catalog; policy never widens that.
type Question struct {
	Tenant      ident.Tenant
	Run         string
	Mission     string
	Starter     string // account id of who started the Run
	Worker      string // intent.BuiltIn or intent.Outside
	Name, Owner string // of an outside Worker that started the Run itself: its name, and its owner's account name
	Connection  string
	Integration string
	Tool        string
	Effect      resource.Effect
	Args        json.RawMessage // one JSON object, checked against the Tool's schema
	Now         time.Time
	// Source is where an outside Worker's request came from, or for the built-in
	// Worker the request of who started the Run; invalid when that is not known.
	Source netip.Addr
	// Used gives what other calls have used of a limit within its window. nil: no
	// limited permit matches, since nobody can count.
	Used func(Use) (int64, error)
	// Untrusted gives the JSON pointers of the arguments whose values were seen in
	// untrusted content first. It is asked once by what looks at them. nil: nobody
	// knows, which is an error where a statement looks.
	Untrusted func() []string
}

// Effect is what policy says.
type Effect string

// The effects. The zero value is none of them; treat it as Deny.
const (
	Allow Effect = "allow" // without a person
	Ask   Effect = "ask"   // a person decides
	Deny  Effect = "deny"
)

// Verdict is the answer to a [Question].
type Verdict struct {
	Effect  Effect
	Reasons []string // ids of the statements that determined it, sorted: "policy/id"
	Why     string   // one sentence for people and Workers; never an argument's value
	// Approvers have to approve, all of them: of each Team as many people as its
	// count. The strictest of what the determining statements note; empty where
	// policy names nobody.
	Approvers []Approver
	Expires   time.Duration // of the Decision's wait; 0: policy does not say
	PinSecret bool
	Passkey   bool // approving takes a passkey
	// Uses are what the call takes of rates and budgets: to be counted again, and
	// stored, in the transaction that stores the Intent.
	Uses     []Use
	Observed []Observed // what statements in observe mode would have changed
	Hash     string     // of the policy set
}

// Evaluate answers a question. It never fails: what can't be judged is denied.
func (s *Set) Evaluate(q Question) Verdict { return s.evaluate(q, nil) }

func (s *Set) evaluate(q Question, tr *trace) Verdict {
	if s == nil {
		return Verdict{Effect: Deny, Why: "no policy is loaded, so nothing is allowed"}
	}
	v := s.judge(q, tr)
	v.Hash = s.hash
	return v
}

func (s *Set) judge(q Question, tr *trace) Verdict {
	t, ok := s.tools[toolKey{q.Integration, q.Tool}]
	if !ok || t.effect != q.Effect {
		return Verdict{Effect: Deny, Why: "policy does not know this tool, so it is denied"}
	}
	b := s.bundles[q.Integration]
	e, err := prepare(q, t, b.needs)
	if err != nil {
		return Verdict{Effect: Deny, Why: "policy can't judge this call, so it is denied: " + err.Error()}
	}
	e.trace = tr
	call := e.ask(b.call, actionCall)
	if call.broken != nil {
		return denyBroken(call)
	}
	v := Verdict{Effect: Deny}
	var unattended answer
	if !call.allowed {
		if len(b.observed) > 0 { // they may turn on it
			e.trace = nil
			unattended = e.ask(b.unattended, actionUnattended)
			e.trace = tr
		}
		v.Reasons, v.Why = ids(call.determining, call.beyond), "policy denies it"
		if len(call.determining) == 0 {
			v.Why = "no policy permits it" + reached(call.reached)
		}
	} else {
		if unattended = e.ask(b.unattended, actionUnattended); unattended.broken != nil {
			return denyBroken(unattended)
		}
		v.conclude(call, unattended)
	}
	v.observe(e, b.observed, call, unattended)
	return v
}

// conclude is the verdict on a call that may happen.
func (v *Verdict) conclude(call, unattended answer) {
	for _, s := range slices.Concat(call.determining, unattended.determining) {
		v.take(s.notes)
	}
	v.Reasons = ids(call.determining, unattended.determining, unattended.beyond)
	v.Uses = call.uses
	if v.Effect, v.Why = Ask, "policy asks for a person's decision"; unattended.allowed {
		v.Effect, v.Why = Allow, "policy allows it without a person"
		v.Reasons = ids(call.determining, unattended.determining)
		v.Uses = slices.Concat(call.uses, unattended.uses)
	} else if len(unattended.determining) == 0 {
		v.Why += reached(unattended.reached)
	}
}

// take adds what a determining statement notes: the strictest of all.
func (v *Verdict) take(n notes) {
	v.Approvers = strictest(v.Approvers, n.approvers)
	if n.expires != 0 && (v.Expires == 0 || n.expires < v.Expires) {
		v.Expires = n.expires
	}
	v.PinSecret = v.PinSecret || n.pin
	v.Passkey = v.Passkey || n.passkey
}

// answer is one of the two questions, answered.
type answer struct {
	allowed     bool
	forbidden   bool         // by a statement, not for want of a permit
	determining []*statement // forbids, or permits that are within their limits
	beyond      []*statement // permits that would match but for a limit
	reached     []string     // those limits, for people
	uses        []Use        // of the determining permits
	broken      []*statement // what could not be evaluated
	why         string       // with broken: what was wrong
}

// ask evaluates the statements of one question.
func (e *evaluation) ask(list statements, action cedar.EntityUID) answer {
	e.req.Action = action
	decision, diag := cedar.Authorize(list, e.entities, e.req)
	var a answer
	for _, b := range diag.Errors {
		// What Cedar says about them is left out: it may quote a value.
		a.broken, a.why = append(a.broken, list.find(b.PolicyID)), "policy could not be evaluated"
	}
	for _, r := range diag.Reasons {
		s := list.find(r.PolicyID)
		if decision != cedar.Allow {
			a.forbidden, a.determining = true, append(a.determining, s)
			continue
		}
		uses, over, err := e.limits(s)
		switch {
		case err != nil:
			a.broken, a.why = append(a.broken, s), "what was used of a limit could not be counted"
		case over != "":
			a.beyond, a.reached = append(a.beyond, s), append(a.reached, over)
		default:
			a.allowed, a.determining, a.uses = true, append(a.determining, s), append(a.uses, uses...)
		}
	}
	if len(a.beyond) > 0 {
		a.withoutBuiltin()
	}
	e.trace.answered(action, a)
	return a
}

// withoutBuiltin takes the built-in permits out: beyond a limit only another
// permit of the tenant's lets the call through, or no limit would hold, since the
// built-in ones permit every call.
func (a *answer) withoutBuiltin() {
	a.determining = slices.DeleteFunc(a.determining, (*statement).builtin)
	a.allowed = !a.forbidden && len(a.determining) > 0
}

func (s *statement) builtin() bool { return strings.HasPrefix(string(s.id), defaultName+"/") }

// limits says what a permit's limits take of the call, or which one it is beyond.
func (e *evaluation) limits(s *statement) (uses []Use, over string, err error) {
	for _, l := range s.notes.limits {
		u, ok := l.use(s, e.q, e.args)
		if !ok {
			return nil, string(s.id) + " adds up " + l.arg + ", and the call has no such amount", nil
		}
		if e.q.Used == nil {
			return nil, string(s.id) + " is limited, and nobody counts", nil
		}
		if u.Used, err = e.q.Used(u); err != nil {
			return nil, "", err
		}
		e.trace.counted(u)
		if !u.Within(u.Used) {
			return nil, string(s.id) + " has reached its " + string(l.kind) + " of " + l.text, nil
		}
		uses = append(uses, u)
	}
	return uses, "", nil
}

// reached is the end of a sentence about limits.
func reached(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, "; ")
}

func denyBroken(a answer) Verdict {
	broken := ids(a.broken)
	return Verdict{Effect: Deny, Reasons: broken, Why: a.why + ", so it is denied: " + strings.Join(broken, ", ")}
}

func ids(lists ...[]*statement) (out []string) {
	for _, l := range lists {
		for _, s := range l {
			out = append(out, string(s.id))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// evaluation is a question as Cedar is asked it.
type evaluation struct {
	q        Question
	req      cedar.Request
	entities cedar.EntityMap
	args     map[string]any // when a statement looks at them
	trace    *trace
}

// prepare makes what Cedar is asked, but for the action.
func prepare(q Question, t tool, n needs) (*evaluation, error) {
	e := &evaluation{q: q}
	var args cedar.Record
	if n.args {
		var err error
		if e.args, err = decode(q.Args); err != nil {
			return nil, err
		}
		if args, err = record(e.args, t.args); err != nil {
			return nil, err
		}
	}
	uid := func(t cedar.EntityType, id string) cedar.EntityUID { return cedar.NewEntityUID(t, cedar.String(id)) }
	worker, mission := uid(typeWorker, q.Run), uid(typeMission, q.Mission)
	integration, connection := uid(typeIntegration, q.Integration), uid(typeConnection, q.Connection)
	target := uid(typeTool, q.Integration+"/"+q.Tool)
	e.entities = cedar.EntityMap{
		mission: {UID: mission}, integration: {UID: integration}, connection: {UID: connection},
		worker: {UID: worker, Parents: cedar.NewEntityUIDSet(mission),
			Attributes: cedar.NewRecord(cedar.RecordMap{"starter": cedar.String(q.Starter), "name": cedar.String(q.Name), "owner": cedar.String(q.Owner)})},
		target: {UID: target, Parents: cedar.NewEntityUIDSet(integration, connection),
			Attributes: cedar.NewRecord(cedar.RecordMap{"effect": cedar.String(q.Effect)})},
	}
	context := cedar.RecordMap{
		"args": args, "connection": cedar.String(q.Connection), "tool": cedar.String(q.Tool),
		"mission": cedar.String(q.Mission), "starter": cedar.String(q.Starter),
	}
	if err := q.circumstances(context, n); err != nil {
		return nil, err
	}
	e.req = cedar.Request{Principal: worker, Resource: target, Context: cedar.NewRecord(context)}
	return e, nil
}

// circumstances adds who works, when, and from where, as far as a statement looks
// at it.
func (q Question) circumstances(context cedar.RecordMap, n needs) error {
	if q.Now.IsZero() {
		return errNoTime
	}
	if n.worker {
		if q.Worker == "" {
			return errNoWorker
		}
		context["worker"] = cedar.String(q.Worker)
	}
	if n.clock {
		now := q.Now.UTC()
		context["now"] = cedar.NewDatetime(now)
		context["hour"] = cedar.Long(now.Hour())
		context["weekday"] = cedar.Long((int(now.Weekday())+6)%7 + 1)
	}
	if n.untrusted {
		if q.Untrusted == nil {
			return errNoOrigins
		}
		var at []cedar.Value
		for _, p := range q.Untrusted() {
			at = append(at, cedar.String(p))
		}
		context["untrusted"] = cedar.NewSet(at...)
	}
	if n.source && q.Source.IsValid() {
		a := q.Source.Unmap().WithZone("")
		context["source"] = types.IPAddr(netip.PrefixFrom(a, a.BitLen()))
	}
	return nil
}
