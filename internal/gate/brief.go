package gate

import (
	"encoding/json"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// briefOf is what a Mission is for and offers, whoever's Run it is.
func briefOf(s *catalog.Snapshot, m *resource.Mission) intent.Brief {
	b := intent.Brief{Title: m.Title, Goal: m.Goal, Model: m.Model, Form: formSchema(m.Form), Tools: []intent.Tool{}}
	for _, t := range s.Tools(m.Name) {
		b.Tools = append(b.Tools, intent.Tool{
			Name: t.Name, Connection: t.Connection, Tool: t.Tool.Name, Description: t.Tool.Description, Effect: t.Tool.Effect, Schema: t.Tool.Schema,
		})
	}
	return b
}

// property is one field of a form in its JSON Schema.
type property struct {
	Type        string   `json:"type"`
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Enum        []string `json:"enum,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	MaxLength   int      `json:"maxLength,omitempty"`
	Format      string   `json:"format,omitempty"`
}

// formSchema is a form as a JSON Schema, for programs that fill it in. It is a help to
// them: what holds is the form.
func formSchema(form []resource.Field) json.RawMessage {
	props, required := map[string]property{}, []string{}
	for _, f := range form {
		p := property{Type: "string", Title: f.Label, Description: f.Help, Enum: f.Options, MaxLength: f.MaxLen}
		if f.Pattern != "" {
			p.Pattern = "^(?:" + f.Pattern + ")$"
		}
		switch f.Type {
		case "number":
			p.Type = "number"
		case "email", "date":
			p.Format = f.Type
		}
		props[f.Name] = p
		if f.Required {
			required = append(required, f.Name)
		}
	}
	b, err := json.Marshal(map[string]any{"type": "object", "properties": props, "required": required, "additionalProperties": false})
	if err != nil {
		return json.RawMessage(`{"type":"object"}`) // texts and numbers always can be encoded
	}
	return b
}
