package gate

import (
	"context"
	"encoding/json"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub/unknown"
)

// maxRecord bounds the name of a record, in bytes. What is longer is a text and
// nobody's name.
const maxRecord = 200

// How a Worker has shown which Run it is.
const (
	inProcess = "process" // the built-in Worker
	byToken   = "run-token"
)

// attributed are the types of entry that say to whom, to what and to which system
// a call belongs.
var attributed = map[audit.Type]bool{
	audit.IntentDenied: true, audit.IntentParked: true, audit.IntentDecided: true, audit.IntentClaimed: true,
	audit.IntentOutcome: true, audit.IntentSwept: true, audit.IntentResolved: true, audit.IntentEdited: true,
}

// attribute adds to an entry about the candidate what is known of it. A Worker's own
// words are not among it: the system is the one that was matched.
func (g *Gate) attribute(c *candidate, fields map[string]any) {
	put := func(name, value string) {
		if _, there := fields[name]; !there && value != "" {
			fields[name] = value
		}
	}
	system := c.it.Bound.Integration
	if c.match != nil {
		system = c.match.Integration.Name
	}
	put("system", system)
	put("starter", c.it.Starter)
	put("worker", c.run.Worker)
	put("source", c.it.Source)
	switch c.run.Worker {
	case intent.BuiltIn:
		put("auth", inProcess)
	case intent.Outside:
		put("auth", c.run.Auth) // of an outside Worker, which the starter names
		put("auth", byToken)
	}
	secret := c.meta.Name
	if secret == "" {
		secret = c.it.Bound.SecretRef
	}
	put("secret", secret)
	if _, there := fields["secretVersion"]; !there && c.meta.Name != "" {
		fields["secretVersion"] = c.meta.Version
	}
	if c.match != nil {
		if p := c.match.Tool.Record; p != "" && !strings.HasPrefix(p, resource.InAnswer) {
			g.nameRecord(c, fields, c.it.Args, p)
		}
	}
}

// Attributes are those of Intents as they are stored, by their ids, for entries that
// others write about them; without those that are not there, or are refused.
func (g *Gate) Attributes(ctx context.Context, tenant ident.Tenant, ids []string) (map[string]decision.About, error) {
	its, err := g.Intents.IntentsByID(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	world, werr := g.World(tenant)
	runs, out := map[string]intent.Run{}, make(map[string]decision.About, len(its))
	for _, it := range its {
		run, have := runs[it.Run]
		if !have {
			if run, err = g.Runs.Run(ctx, tenant, it.Run); err != nil { // the entry is worth having without
				run = intent.Run{Mission: it.Mission}
			}
			runs[it.Run] = run
		}
		c := &candidate{run: run, it: it, world: world}
		if werr == nil {
			if m, err := world.Catalog.Match(run.Mission, it.Connection, it.Tool); err == nil {
				c.match = m
			}
		}
		about := decision.About{Connection: it.Connection, Tool: it.Tool, Fields: map[string]any{}}
		g.attribute(c, about.Fields)
		out[it.ID] = about
	}
	return out, nil
}

// nameRecord puts down which record a call is about, from the arguments or the answer:
// by its name, or by a keyed hash of it. What holds a secret, looks like one, or
// can't be a name is left out; the call is on the record without it.
func (g *Gate) nameRecord(c *candidate, fields map[string]any, doc json.RawMessage, pointer string) {
	name, ok := pointed(doc, pointer)
	if !ok || len(name) > maxRecord || audit.Short(name) != name || strings.Contains(name, "[secret") { // a mark: something was taken out
		return
	}
	if clean, met := g.Vault.Scrub(c.it.Tenant).String(name); met.Found() || unknown.String(clean) != name {
		return
	}
	if !c.match.Tool.RecordPrivate {
		fields["record"] = name
		return
	}
	if g.RecordKey == nil {
		return
	}
	if hash, err := g.RecordKey(context.Background(), c.it.Tenant, name); err == nil {
		fields["recordKey"] = hash
	}
}

// pointed is the string or the number at a JSON pointer (RFC 6901); false where
// there is none, or an empty one.
func pointed(doc json.RawMessage, ptr string) (string, bool) {
	at, err := pointer(doc, ptr)
	if err != nil || len(at) == 0 {
		return "", false
	}
	var text string
	if json.Unmarshal(at, &text) == nil {
		return text, text != ""
	}
	var number json.Number
	if json.Unmarshal(at, &number) == nil {
		return number.String(), number != ""
	}
	return "", false
}

// RecordKey makes the keyed hash that stands for a record's name; Unavailable where
// it can't be made.
type RecordKey func(ctx context.Context, t ident.Tenant, name string) (string, error)
