package scriptedmodel

import (
	"encoding/json"
	"testing"
)

// Whatever a tool answers and whatever the input says, the script calls what is
// offered with arguments that are JSON, or says something.
func FuzzDecide(f *testing.F) {
	f.Add(`{"state":"COMMITTED","body":{"valid":true}}`, `{"name":"A","tax_id":"B"}`)
	f.Add(`{"state":"PARKED"}`, `{{{{"input":{"name":"A","tax_id":"B","country":"de"}}`)
	f.Add(`{"state":"COMMITTED","body":"{\"vendors\":[1,null,{\"match\":[]}]}"}`, `{"name":"A","tax_id":"B"} {"state":"REJECTED"}`)
	f.Add("\x00", "}{")
	var tools []tool
	offered := map[string]bool{}
	for _, name := range []string{"a__verifyTaxId", "b__findVendors", "c__createVendor", "d__createTicket", "finish"} {
		var t tool
		t.Function.Name = name
		tools = append(tools, t)
		offered[name] = true
	}
	f.Fuzz(func(t *testing.T, result, input string) {
		said := func(id, name string) message {
			return message{Role: "assistant", ToolCalls: []toolCall{{ID: id, Function: function{Name: name}}}}
		}
		m := decide(request{Tools: tools, Messages: []message{
			{Role: "user", Content: content(input)},
			said("1", "a__verifyTaxId"), {Role: "tool", ToolCallID: "1", Content: `{"valid":true}`},
			said("2", "b__findVendors"), {Role: "tool", ToolCallID: "2", Content: content(result)},
		}}, Quirks{})
		if m.text == "" && len(m.calls) == 0 {
			t.Fatal("neither a text nor a call")
		}
		for _, c := range m.calls {
			if !offered[c.Function.Name] || !json.Valid([]byte(c.Function.Arguments)) {
				t.Fatalf("call %+v", c)
			}
		}
	})
}
