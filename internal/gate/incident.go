package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/vault"
)

// sent is one text that somebody sent, and what people call its place.
type sent struct{ place, text string }

// texts are those of a proposal, besides its arguments.
func texts(reason, key, connection, tool string) []sent {
	return []sent{{"reason", reason}, {"key", key}, {"connection", connection}, {"tool", tool}}
}

// incident stops what holds a known secret. It does not say which, nor whose, nor
// where: the scrubber must not become an oracle. All that is looked for is looked
// for whichever it is, and the record is as long.
func (g *Gate) incident(ctx context.Context, c *candidate, args json.RawMessage, others ...sent) error {
	set := g.Vault.Scrub(c.it.Tenant)
	place, names := where(set, "arguments", args, others)
	if len(names) == 0 {
		return nil
	}
	in := g.about(c, incident.Sent, place).Of(names)
	ev := g.event(c, audit.WorkerIncident, map[string]any{"kind": "known-secret-in-proposal", "place": in.Place, "secret": in.Secret, "worker": c.run.Worker})
	n, err := g.Runs.Incident(ctx, in, ev, g.clean(c, explain.Check, "A known secret was met in what the Worker sent", errHoldsKnown.Error(), nil))
	if err != nil {
		return fault.Wrap(fault.Unavailable, "recording an incident", err)
	}
	return g.stopAfter(ctx, c, n, maxIncidents, stoppedForSecrets, errHoldsKnown)
}

var errHoldsKnown = fault.New(fault.Denied, "the proposal holds a known secret, so it was stopped").
	WithHint("a credential is never part of the arguments: the Connection has it")

const stoppedForSecrets = "a known secret was met in what its Worker sent, three times"

// where looks for known secrets in a document and in texts beside it: the names of
// all that are met, sorted, and the place of the first.
func where(set *scrub.Set, whole string, doc []byte, others []sent) (place string, names []string) {
	var all strings.Builder
	for _, o := range others {
		all.WriteString(o.text + "\n")
	}
	inDoc, beside := set.Contains(doc), set.Contains([]byte(all.String()))
	holds := func(b []byte) bool { return len(set.Contains(b)) > 0 }
	switch {
	case len(inDoc) > 0:
		place = placeIn(whole, doc, holds)
	case len(beside) > 0:
		var parts []string
		for _, o := range others {
			if parts = append(parts, o.place); holds([]byte(o.text)) && place == "" {
				place = o.place
			}
		}
		if place == "" { // it is in none of them alone
			place = strings.Join(parts, ", ")
		}
	}
	return place, union(inDoc, beside)
}

// placeIn is where in a JSON text a secret stands: the pointer of the first leaf
// that holds one alone. Of one in the name of a member, the pointer is that of what
// has the member; of one over several leaves, or in no JSON, it is the whole. No
// secret is in a place: the names on the way to it are looked through too. All
// leaves are looked at, wherever it is: who sends a thousand guesses at once must
// not see from the time that it takes which one was right. What is larger than
// arguments may be is the whole.
func placeIn(whole string, doc []byte, holds func([]byte) bool) string {
	var first *leaf
	if len(doc) > intent.MaxArgs {
		return whole
	}
	t := parse(doc)
	for _, l := range t.leaves {
		if holds([]byte(l.text)) && first == nil {
			first = &l
		}
	}
	if first == nil {
		return whole
	}
	return t.place(whole, first.node, holds)
}

// maxStep bounds a name in a place, in bytes.
const maxStep = 100

// place puts a node's place into words, after those of the whole. It ends before
// the first name that holds a secret or looks like one, and before one that is too
// long; where the names hold one together it is the whole.
func (t *tree) place(whole string, at int32, holds func([]byte) bool) string {
	path := t.path(at)
	for i, name := range path {
		if len(name) > maxStep || holds([]byte(name)) || len(unknown.Find([]byte(name))) > 0 {
			path = path[:i]
			break
		}
	}
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + escape.Replace(name))
	}
	plain := strings.Join(path, "/")
	place := audit.Short(whole + ": " + spellOut(b.String()))
	if len(path) == 0 || holds([]byte(place)) || holds([]byte(plain)) || len(unknown.Find([]byte(plain))) > 0 {
		return whole
	}
	return place
}

// spellOut writes what can't be seen as JSON would escape it, so that a place is read
// as what it is.
func spellOut(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// union joins two sorted lists of names.
func union(a, b []string) []string {
	out := a
	for _, name := range b {
		found := false
		for _, have := range a {
			found = found || have == name
		}
		if !found {
			out = append(out, name)
		}
	}
	return out
}

// about begins an incident of the candidate's Run. Connection and tool are
// scrubbed and bounded: until they were matched they are a Worker's words.
func (g *Gate) about(c *candidate, k incident.Kind, place string) incident.Incident {
	in := incident.New(k, c.it.Tenant, "run:"+c.it.Run, c.clip(g, place), g.Now())
	in.Run, in.Mission, in.Worker, in.Intent = c.it.Run, c.it.Mission, c.run.Worker, c.it.ID
	in.Connection, in.Tool = c.clip(g, c.it.Connection), c.clip(g, c.it.Tool)
	return in
}

// typedKnown puts it on the record that a person typed known secrets where a Run
// would have begun with them, and gives the refusal back. There is no Run whose
// rail could have it.
func (g *Gate) typedKnown(ctx context.Context, who ident.Principal, mission, place string, names []string, refusal error) error {
	in := incident.New(incident.Typed, who.Tenant, who.String(), place, g.Now()).Of(names)
	in.Mission = mission
	if who.Kind == ident.Person || who.Kind == ident.Worker {
		g.tries.add(callerKey("hit", who), 1, g.Now())
	}
	ev := audit.Event{Type: audit.IncidentOpened, Tenant: who.Tenant, At: in.At, Actor: in.Actor, Mission: mission,
		Fields: map[string]any{"kind": in.Kind, "place": in.Place, "secret": in.Secret}}
	if _, err := g.Runs.Incident(ctx, in, ev, explain.Observation{}); err != nil {
		return fault.Wrap(fault.Unavailable, "recording an incident", err)
	}
	return refusal
}

// carried puts it on the record that the door refused the request because of a
// known secret in it: the arguments had it in pieces, or it was stored while the
// action waited. Nothing was sent. When it can't be recorded, the answer says so.
func (g *Gate) carried(ctx context.Context, c *candidate, a connector.Answer) connector.Answer {
	names, part, ok := vault.Carried(a.Err)
	if !ok {
		return a
	}
	if err := g.recordCarried(ctx, c, part, names); err != nil {
		a.Err = err
	}
	return a
}

// recordCarried puts it on the record that a request would have carried known
// secrets, and was not sent.
func (g *Gate) recordCarried(ctx context.Context, c *candidate, part string, names []string) error {
	in := g.about(c, incident.Carried, "request: "+part).Of(names)
	ev := g.event(c, audit.IncidentOpened, map[string]any{"kind": in.Kind, "place": in.Place, "secret": in.Secret, "worker": c.run.Worker})
	n, err := g.Runs.Incident(ctx, in, ev, g.clean(c, explain.Check, "A known secret was met in the request, so it was not sent", "", nil))
	if err == nil {
		c.incidents = n
	}
	return fault.Wrap(fault.Unavailable, "recording an incident", err)
}

// attempt makes one, and then ends the Run where its request had a known secret
// for the last time that is tolerated.
func (g *Gate) attempt(ctx context.Context, c *candidate, p commit.Plan) (intent.Intent, error) {
	it, err := g.Machine.Execute(ctx, p)
	if c.incidents < maxIncidents || g.Machine.Halted() != nil {
		return it, err
	}
	if e := g.endRun(ctx, c.run, "system:gate", "stopped", stoppedForSecrets); err == nil && !fault.Is(e, fault.Conflict) {
		err = e
	}
	return it, err
}
