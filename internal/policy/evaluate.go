package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// The vocabulary that policies are written in.
const (
	typeWorker      cedar.EntityType = "Worker"      // id: the Run's; in its Mission; starter: String
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
	Connection  string
	Integration string
	Tool        string
	Effect      resource.Effect
	Args        json.RawMessage // one JSON object, checked against the Tool's schema
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
	// Approvers are Teams: whoever decides has to be a member of every one.
	Approvers []string
	Expires   time.Duration // of the Decision's wait; 0: policy does not say
	PinSecret bool
	Hash      string // of the policy set
}

// Evaluate answers a question. It never fails: what can't be judged is denied.
func (s *Set) Evaluate(q Question) Verdict {
	if s == nil {
		return Verdict{Effect: Deny, Why: "no policy is loaded, so nothing is allowed"}
	}
	v := s.evaluate(q)
	v.Hash = s.hash
	return v
}

func (s *Set) evaluate(q Question) Verdict {
	t, ok := s.tools[toolKey{q.Integration, q.Tool}]
	if !ok || t.effect != q.Effect {
		return Verdict{Effect: Deny, Why: "policy does not know this tool, so it is denied"}
	}
	b := s.bundles[q.Integration]
	req, entities, err := request(q, t, b.needsArgs)
	if err != nil {
		return Verdict{Effect: Deny, Why: "policy can't judge this call, so it is denied: " + err.Error()}
	}
	req.Action = actionCall
	called, diag := cedar.Authorize(b.call, entities, req)
	if broken := failed(diag); broken != "" {
		return denyBroken(broken)
	}
	v := Verdict{}
	v.take(b.call, diag)
	if called != cedar.Allow {
		v.Effect, v.Why = Deny, "policy denies it"
		if len(v.Reasons) == 0 {
			v.Why = "no policy permits it"
		}
		return Verdict{Effect: v.Effect, Why: v.Why, Reasons: v.Reasons}
	}
	req.Action = actionUnattended
	unattended, diag := cedar.Authorize(b.unattended, entities, req)
	if broken := failed(diag); broken != "" {
		return denyBroken(broken)
	}
	v.take(b.unattended, diag)
	if unattended == cedar.Allow {
		v.Effect, v.Why = Allow, "policy allows it without a person"
		return v
	}
	v.Effect, v.Why = Ask, "policy asks for a person's decision"
	return v
}

// failed names the statements that could not be evaluated. What Cedar says
// about them is left out: it may quote a value.
func failed(d cedar.Diagnostic) string {
	var ids []string
	for _, e := range d.Errors {
		ids = append(ids, string(e.PolicyID))
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

func denyBroken(ids string) Verdict {
	return Verdict{Effect: Deny, Reasons: strings.Split(ids, ", "), Why: "policy could not be evaluated, so it is denied: " + ids}
}

// take adds the determining statements and the strictest of what they note.
func (v *Verdict) take(from statements, d cedar.Diagnostic) {
	for _, r := range d.Reasons {
		v.Reasons = append(v.Reasons, string(r.PolicyID))
		n := from.notes(r.PolicyID)
		v.Approvers = append(v.Approvers, n.approvers...)
		if n.expires != 0 && (v.Expires == 0 || n.expires < v.Expires) {
			v.Expires = n.expires
		}
		v.PinSecret = v.PinSecret || n.pin
	}
	slices.Sort(v.Reasons)
	v.Reasons = slices.Compact(v.Reasons)
	slices.Sort(v.Approvers)
	v.Approvers = slices.Compact(v.Approvers)
}

// request builds what Cedar is asked, but for the action.
func request(q Question, t tool, needsArgs bool) (cedar.Request, cedar.EntityMap, error) {
	var args cedar.Record
	if needsArgs {
		var err error
		if args, err = record(q.Args, t.args); err != nil {
			return cedar.Request{}, nil, err
		}
	}
	uid := func(t cedar.EntityType, id string) cedar.EntityUID { return cedar.NewEntityUID(t, cedar.String(id)) }
	worker, mission := uid(typeWorker, q.Run), uid(typeMission, q.Mission)
	integration, connection := uid(typeIntegration, q.Integration), uid(typeConnection, q.Connection)
	target := uid(typeTool, q.Integration+"/"+q.Tool)
	entities := cedar.EntityMap{
		mission: {UID: mission}, integration: {UID: integration}, connection: {UID: connection},
		worker: {UID: worker, Parents: cedar.NewEntityUIDSet(mission),
			Attributes: cedar.NewRecord(cedar.RecordMap{"starter": cedar.String(q.Starter)})},
		target: {UID: target, Parents: cedar.NewEntityUIDSet(integration, connection),
			Attributes: cedar.NewRecord(cedar.RecordMap{"effect": cedar.String(q.Effect)})},
	}
	context := cedar.NewRecord(cedar.RecordMap{
		"args": args, "connection": cedar.String(q.Connection), "tool": cedar.String(q.Tool),
		"mission": cedar.String(q.Mission), "starter": cedar.String(q.Starter),
	})
	return cedar.Request{Principal: worker, Resource: target, Context: context}, entities, nil
}
