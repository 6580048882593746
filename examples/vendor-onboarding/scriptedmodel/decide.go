package scriptedmodel

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The tools that the script knows, by what follows the connection's name.
const (
	toolVerify = "verifyTaxId"
	toolFind   = "findVendors"
	toolCreate = "createVendor"
	toolTicket = "createTicket"
	toolFinish = "finish"
)

// alike is from which likeness of names on two vendors of one country are taken
// for the same.
const alike = 0.85

// clerk is one request on the desk: what is known, and what can be used.
type clerk struct {
	supplier supplier
	steps    []step
	tools    map[string]tool // by suffix
	offered  string          // the full name of the first tool
}

// decide answers one request.
func decide(req request, q Quirks) move {
	c := clerk{steps: history(req.Messages), tools: map[string]tool{}}
	for i, t := range req.Tools {
		if i == 0 {
			c.offered = t.Function.Name
		}
		c.tools[suffix(t.Function.Name)] = t
	}
	if m, ok := c.quirk(q); ok {
		return m
	}
	var ok bool
	if c.supplier, ok = findSupplier(req.Messages); !ok {
		return c.finish("failed", "No supplier was found in the request: it has to have at least a name and a tax id.")
	}
	return c.next()
}

// next goes through the plan: verify, search, create, confirm. Each stage
// either gives its result, or says what to do before the plan can go on.
func (c clerk) next() move {
	verdict, m := c.stage(toolVerify, c.verifyArgs(), "Before anything is recorded, the supplier's tax registration has to be right. "+
		"I ask the verification service whether %s is a well-formed VAT identification number of %s with correct check digits, since an invoice with a wrong number can't be booked.", c.supplier.TaxID, c.supplier.Country)
	if m != nil {
		return *m
	}
	if valid, _ := verdict["valid"].(bool); !valid {
		return c.refused(verdict)
	}
	found, m := c.stage(toolFind, map[string]any{"tax_id": c.number(verdict), "name": c.supplier.Name},
		"The tax id is valid. I look for %s in the ERP, by tax id %s and by name in any spelling, so that no vendor is created twice.", c.supplier.Name, c.number(verdict))
	if m != nil {
		return *m
	}
	if why := c.duplicate(found); why != "" {
		return c.finish("duplicate", why)
	}
	vendor, m := c.stage(toolCreate, c.draft(verdict), "%s asks to be onboarded as a vendor. The verification service confirmed the tax id %s (%s), and the ERP has no vendor with this tax id "+
		"and none with a similar name in %s, so that this is not a duplicate. The record is drafted from the request alone: name, country, tax id, city and contact. "+
		"I propose to create it, so that purchase orders can be placed; nothing else is changed.", c.supplier.Name, c.number(verdict), first(verdict, "rule"), c.supplier.Country)
	if m != nil {
		return *m
	}
	id := first(vendor, "id")
	if id == "" {
		return c.finish("needs_human", "The ERP answered the creation of "+c.supplier.Name+" without a vendor number. Somebody has to look whether it was created.")
	}
	ticket, m := c.stage(toolTicket, c.ticket(id, c.number(verdict)), "The vendor %s was created as %s after approval. I file the confirmation for procurement, so that whoever asked for it knows that orders can be placed.", c.supplier.Name, id)
	if m != nil {
		return *m
	}
	return c.finish("onboarded", fmt.Sprintf("%s was onboarded as vendor %s. Its tax id %s is valid, there was no duplicate, the creation was approved, and the confirmation is ticket %s.",
		c.supplier.Name, id, c.number(verdict), first(ticket, "id")))
}

// stage gives the body of the tool's result when it is done. Otherwise the move
// says what to do now: call it (again), wait, or end.
func (c clerk) stage(name string, args map[string]any, reason string, about ...any) (map[string]any, *move) {
	var latest *step
	tries := 0
	for i := range c.steps {
		if c.steps[i].tool == name && !strings.HasPrefix(c.steps[i].id, quirkID) {
			latest = &c.steps[i]
			tries++
		}
	}
	propose := func() *move { return c.call(name, args, fmt.Sprintf(reason, about...)) }
	if latest == nil || !latest.told {
		return nil, propose()
	}
	end := func(verdict, text string) *move { m := c.finish(verdict, text); return &m }
	why := latest.result.why
	switch latest.result.outcome {
	case done:
		return latest.result.body, nil
	case pending:
		return nil, &move{text: "I wait for the Decision on " + name + ". Nothing was executed."}
	case rejected:
		return nil, end("rejected", "The action "+name+" was not approved, and was not executed. The reason given: "+orNone(why))
	case denied:
		return nil, end("failed", "The action "+name+" is not allowed here, and was not executed: "+orNone(why))
	case uncertain:
		return nil, end("needs_human", "It is not known whether "+name+" was applied. I do not repeat it; a person has to look. "+why)
	case notApplied, failed:
	}
	if tries < 2 {
		return nil, propose()
	}
	return nil, end("failed", fmt.Sprintf("%s did not succeed in %d attempts: %s", name, tries, orNone(why)))
}

func orNone(why string) string {
	if why == "" {
		return "none"
	}
	return why
}

// refused ends the Run on a verdict that is not "valid".
func (c clerk) refused(verdict map[string]any) move {
	about := fmt.Sprintf("The tax id %s of %s", c.supplier.TaxID, c.supplier.Name)
	status := first(verdict, "status")
	if verified, ok := verdict["verified"].(bool); ok && !verified || status == "unsupported" {
		return c.finish("needs_human", about+" could not be verified: "+orNone(first(verdict, "reason"))+". A person has to check it.")
	}
	if _, ok := verdict["valid"].(bool); !ok {
		return c.finish("failed", "The verification service gave no verdict on "+c.supplier.TaxID+".")
	}
	return c.finish("rejected", about+" is not valid: "+orNone(first(verdict, "reason"))+". Rule applied: "+first(verdict, "rule")+". No vendor was created.")
}

// duplicate says which existing vendor the supplier is, or "".
func (c clerk) duplicate(found map[string]any) string {
	vendors, _ := found["vendors"].([]any)
	for _, v := range vendors {
		vendor, _ := v.(map[string]any)
		match, _ := vendor["match"].(map[string]any)
		score, _ := match["score"].(float64)
		who := fmt.Sprintf("vendor %s (%s)", first(vendor, "id"), first(vendor, "name"))
		switch {
		case first(match, "by") == "tax_id":
			return fmt.Sprintf("%s is already there as %s, with the same tax id. No vendor was created.", c.supplier.Name, who)
		case first(match, "by") == "name" && score >= alike && first(vendor, "country") == c.supplier.Country:
			return fmt.Sprintf("%s is already there as %s: the same country, and names that are alike by %.2f. No vendor was created.", c.supplier.Name, who, score)
		}
	}
	return ""
}

// number is the tax id in the form that the verification service gave it.
func (c clerk) number(verdict map[string]any) string {
	if n := first(verdict, "number"); n != "" {
		return n
	}
	return c.supplier.TaxID
}

func (c clerk) verifyArgs() map[string]any {
	return map[string]any{"id": c.supplier.TaxID, "country": c.supplier.Country}
}

func (c clerk) draft(verdict map[string]any) map[string]any {
	return map[string]any{
		"name": c.supplier.Name, "country": c.supplier.Country, "tax_id": c.number(verdict),
		"city": c.supplier.City, "contact_email": c.supplier.Email,
	}
}

func (c clerk) ticket(id, number string) map[string]any {
	return map[string]any{
		"title":     "Vendor onboarded: " + clipTo(c.supplier.Name, 150),
		"body":      fmt.Sprintf("%s (%s, tax id %s) was created in the ERP as %s after approval. Purchase orders can be placed.", c.supplier.Name, c.supplier.Country, number, id),
		"reference": id,
	}
}

func clipTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// call proposes a tool, or ends the Run when the request does not offer it.
func (c clerk) call(name string, args map[string]any, reason string) *move {
	t, ok := c.tools[name]
	if !ok {
		m := c.finish("failed", "The tool "+name+" is needed for this and is not there.")
		return &m
	}
	args["_reason"] = reason
	return &move{text: reason, calls: []toolCall{c.toolCall("call_", t.Function.Name, fill(t.Function.Parameters, args))}}
}

// finish ends the Run by its tool, or in words where that is not offered.
func (c clerk) finish(verdict, summary string) move {
	args := map[string]any{"verdict": verdict, "summary": summary}
	t, ok := c.tools[toolFinish]
	if !ok {
		b, _ := json.Marshal(args) // two strings
		return move{text: string(b)}
	}
	args["_reason"] = summary
	return move{text: summary, calls: []toolCall{c.toolCall("call_", t.Function.Name, fill(t.Function.Parameters, args))}}
}

// toolCall numbers its id by the calls before it, so that ids are unique in a
// transcript and the same transcript gives the same answer.
func (c clerk) toolCall(prefix, name string, args map[string]any) toolCall {
	b, _ := json.Marshal(args) // strings, and objects of strings
	return toolCall{ID: fmt.Sprintf("%s%d", prefix, len(c.steps)+1), Type: "function", Function: function{name, string(b)}}
}

// fill puts values where the tool's schema has a place for them, at the top or
// in an object (like "query" or "body"). Empty texts are left out. A tool
// without declared properties gets all.
func fill(s schema, values map[string]any) map[string]any {
	out := map[string]any{}
	if len(s.Properties) == 0 {
		for k, v := range values {
			if v != "" && k != "_reason" {
				out[k] = v
			}
		}
		return out
	}
	for name, p := range s.Properties {
		if v, ok := values[name]; ok && v != "" {
			out[name] = v
		} else if len(p.Properties) > 0 {
			if inner := fill(p, values); len(inner) > 0 {
				out[name] = inner
			}
		}
	}
	return out
}
