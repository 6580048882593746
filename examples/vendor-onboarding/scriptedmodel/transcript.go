package scriptedmodel

import (
	"encoding/json"
	"strings"
)

// supplier is what the request for onboarding says.
type supplier struct {
	Name, Country, TaxID, City, Email string
}

// step is one tool call of the transcript with the latest that is known of it.
type step struct {
	tool   string // without its connection
	id     string
	result result
	told   bool // there is a result at all
}

// outcome is what became of a step.
type outcome int

const (
	done       outcome = iota
	pending            // a person has not decided yet
	rejected           // a person said no, or nobody said anything in time
	denied             // not allowed
	failed             // definite, nothing was done
	notApplied         // it was looked up: nothing was done
	uncertain          // nobody knows whether it was done
)

// states maps the words of a tool's result to outcomes.
var states = map[string]outcome{
	"committed": done, "done": done, "ok": done,
	"proposed": pending, "pending": pending, "parked": pending, "approved": pending, "claimed": pending, "sending": pending,
	"rejected": rejected, "expired": rejected, "withdrawn": rejected,
	"denied": denied, "failed": failed, "error": failed, "unavailable": failed,
	"not_applied": notApplied, "unknown": uncertain, "unknown_outcome": uncertain, "needs_human": uncertain,
}

// result is a tool's answer, read.
type result struct {
	outcome outcome
	body    map[string]any // the system's answer
	why     string         // the reason for a no
}

// readResult reads a tool message. It takes an envelope with a "state" and the
// system's answer under "body" (or "result", "data"), or the answer alone.
func readResult(text string) result {
	obj := object(text)
	if obj == nil {
		return result{outcome: failed, why: clip(text)}
	}
	r := result{body: obj}
	for _, k := range []string{"body", "result", "data"} {
		if inner := object(obj[k]); inner != nil {
			r.body = inner
			break
		}
	}
	for _, k := range []string{"why", "rejection", "reason", "note", "detail", "message", "error"} {
		if s, ok := obj[k].(string); ok && s != "" {
			r.why = clip(s)
			break
		}
	}
	r.outcome = outcomeOf(obj)
	return r
}

func outcomeOf(obj map[string]any) outcome {
	for _, k := range []string{"state", "status", "kind"} {
		if s, ok := obj[k].(string); ok {
			if o, known := states[strings.ToLower(strings.ReplaceAll(s, " ", "_"))]; known {
				return o
			}
		}
	}
	if n, ok := obj["status"].(float64); ok && n >= 400 {
		return failed
	}
	if e, there := obj["error"]; there && e != nil && e != "" && e != false {
		return failed
	}
	return done
}

// object gives v as a JSON object: itself, or a text that holds one.
func object(v any) map[string]any {
	switch t := v.(type) {
	case map[string]any:
		return t
	case string:
		var m map[string]any
		if json.Unmarshal([]byte(t), &m) == nil {
			return m
		}
	}
	return nil
}

// clip keeps a quotation short.
func clip(s string) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > 300 {
		return string(r[:300]) + "..."
	}
	return string(r)
}

// history reads the tool calls in their order. A later message that is no tool
// message but says a state (a Decision came in) is news of the last pending
// step.
func history(messages []message) []step {
	var steps []step
	for _, m := range messages {
		for _, c := range m.ToolCalls {
			steps = append(steps, step{tool: suffix(c.Function.Name), id: c.ID})
		}
		if m.Role == "tool" {
			for i := range steps {
				if steps[i].id == m.ToolCallID {
					steps[i].result, steps[i].told = readResult(string(m.Content)), true
				}
			}
			continue
		}
		if m.Role == "user" || m.Role == "system" {
			steps = news(steps, string(m.Content))
		}
	}
	return steps
}

func news(steps []step, text string) []step {
	for i := len(steps) - 1; i >= 0; i-- {
		if !steps[i].told || steps[i].result.outcome != pending {
			continue
		}
		for _, obj := range objects(text) {
			if _, ok := obj["state"].(string); ok {
				b, err := json.Marshal(obj)
				if err != nil {
					continue // it was JSON a moment ago
				}
				steps[i].result = readResult(string(b))
				return steps
			}
		}
	}
	return steps
}

// suffix is a tool's name without its connection: "erp-read__findVendors" is
// "findVendors".
func suffix(name string) string {
	if i := strings.LastIndex(name, "__"); i >= 0 {
		return name[i+2:]
	}
	return name
}

// objects finds the JSON objects in a text, outermost ones, in their order.
func objects(text string) []map[string]any {
	var out []map[string]any
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 || len(out) == 100 {
			return out
		}
		text = text[i:]
		d := json.NewDecoder(strings.NewReader(text))
		var m map[string]any
		if d.Decode(&m) != nil {
			text = text[1:]
			continue
		}
		out = append(out, m)
		text = text[d.InputOffset():]
	}
}

// findSupplier reads the supplier from the latest user message that has one.
func findSupplier(messages []message) (supplier, bool) {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role != "user" {
			continue
		}
		for _, obj := range objects(string(messages[i].Content)) {
			if s, ok := supplierIn(obj, 0); ok {
				return s, true
			}
		}
	}
	return supplier{}, false
}

func supplierIn(obj map[string]any, depth int) (supplier, bool) {
	s := supplier{
		Name:    first(obj, "name", "supplier", "company", "supplier_name"),
		Country: strings.ToUpper(first(obj, "country")),
		TaxID:   first(obj, "tax_id", "taxId", "vat_id", "vatId", "vat"),
		City:    first(obj, "city"),
		Email:   first(obj, "contact_email", "email"),
	}
	if s.Name != "" && s.TaxID != "" {
		return s, true
	}
	if depth < 4 {
		for _, v := range obj {
			if inner, ok := v.(map[string]any); ok {
				if s, ok := supplierIn(inner, depth+1); ok {
					return s, true
				}
			}
		}
	}
	return supplier{}, false
}

// first is the first of the keys that has a text.
func first(obj map[string]any, keys ...string) string {
	for _, k := range keys {
		if s, ok := obj[k].(string); ok && strings.TrimSpace(s) != "" {
			return strings.TrimSpace(s)
		}
	}
	return ""
}
