package explain

import (
	"bytes"
	"encoding/json"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

// NotProof labels what a model says about itself.
const NotProof = "the model's stated reasoning, not proof"

// Detail is the typed part of an Observation: of each part at most one, and only
// those that the kind has. It names Secrets and never holds one. Title, Text and
// Data stay what they are without it.
type Detail struct {
	Label    string    `json:"label,omitempty"` // what the words are worth: [NotProof]
	Goal     *Purpose  `json:"goal,omitempty"`
	Intent   *Proposal `json:"intent,omitempty"`
	Rule     *Rule     `json:"rule,omitempty"`
	Decision *Decided  `json:"decision,omitempty"`
	Use      *KeyUse   `json:"use,omitempty"`
	Outcome  *Outcome  `json:"outcome,omitempty"`
	WhyNot   *WhyNot   `json:"whyNot,omitempty"`
	// Withheld is why there is no more than this: nothing of it can be shown.
	Withheld string `json:"withheld,omitempty"`
}

// Purpose is what a Run is for. Its input is the Observation's Data.
type Purpose struct {
	Mission string `json:"mission"`
	Goal    string `json:"goal,omitempty"` // in words, as the Mission had it then
	Starter string `json:"starter"`
	Via     string `json:"via"`
	Worker  string `json:"worker"` // built-in, outside
}

// Proposal is an action that the Worker proposed. Its arguments are the
// Observation's Data, where they are stored nowhere else.
type Proposal struct {
	Connection string        `json:"connection"`
	Tool       string        `json:"tool"`
	Effect     string        `json:"effect,omitempty"`
	Revision   int           `json:"revision,omitempty"`
	Reason     string        `json:"reason,omitempty"` // the Worker's
	Repeat     bool          `json:"repeat,omitempty"`
	Args       intent.Digest `json:"args,omitempty"`   // SHA-256 of the canonical arguments
	Source     string        `json:"source,omitempty"` // address, where it is known
	// Origins are the values that untrusted content had first, where it was looked for;
	// at most maxList.
	Origins []origin.Origin `json:"origins,omitempty"`
	// Traced says whether it was looked for; Cut, that not everything was searched, or
	// not all is listed.
	Traced bool `json:"traced,omitempty"`
	Cut    bool `json:"cut,omitempty"`
}

// Rule is what judged an action, as it was then.
type Rule struct {
	Effect     string      `json:"effect"` // allow, ask, deny
	Why        string      `json:"why,omitempty"`
	Statements []Statement `json:"statements,omitempty"` // that determined it
	Approvers  []string    `json:"approvers,omitempty"`  // "finance", "finance:2"
	PolicySet  string      `json:"policySet,omitempty"`  // SHA-256 of all policies
}

// Statement is one of a policy's.
type Statement struct {
	ID    string `json:"id"` // "policy/id"
	Title string `json:"title,omitempty"`
}

// Decided is a Decision as it became with this step.
type Decided struct {
	ID       string          `json:"id"`
	State    string          `json:"state"`
	By       string          `json:"by,omitempty"`      // whose step it was: a name, or "policy"
	Account  string          `json:"account,omitempty"` // of a person
	Verdict  string          `json:"verdict,omitempty"`
	Method   string          `json:"method,omitempty"`   // of the fresh proof
	Digest   intent.Digest   `json:"digest,omitempty"`   // of what they saw
	Revision int             `json:"revision,omitempty"` // of what they saw
	Needs    []string        `json:"needs,omitempty"`    // "2 of finance"
	Missing  []string        `json:"missing,omitempty"`
	Votes    []Vote          `json:"votes,omitempty"`
	Edits    []intent.Change `json:"edits,omitempty"` // what an approver changed
	AskedAt  time.Time       `json:"askedAt,omitzero"`
	Expires  time.Time       `json:"expires,omitzero"`
	Waited   int64           `json:"waited,omitempty"` // seconds since it was asked for
}

// Vote is one person's.
type Vote struct {
	By      string    `json:"by"`
	Account string    `json:"account"`
	Team    string    `json:"team,omitempty"`
	Verdict string    `json:"verdict"`
	Method  string    `json:"method,omitempty"`
	At      time.Time `json:"at"`
	Self    bool      `json:"self,omitempty"`
	Glass   bool      `json:"glass,omitempty"`
}

// KeyUse is the use of a credential: which, and where it is put, never what it is.
type KeyUse struct {
	Secret     string `json:"secret"`
	Version    int    `json:"version"`
	Connection string `json:"connection"`
	Scheme     string `json:"scheme"`          // bearer, basic, header, query, ...
	Place      string `json:"place,omitempty"` // the header's or parameter's name
	Field      string `json:"field,omitempty"`
}

// Outcome is what became of an action.
type Outcome struct {
	State      string `json:"state"`
	Status     int    `json:"status,omitempty"` // of the system's answer
	Redactions int    `json:"redactions,omitempty"`
	Truncated  bool   `json:"truncated,omitempty"`
	Edited     string `json:"edited,omitempty"` // what an approver changed before it was sent
}

// WhyNot is why something was not done.
type WhyNot struct {
	Kind string `json:"kind"` // of the error
	Why  string `json:"why"`
	Hint string `json:"hint,omitempty"`
}

// Bounds of a Detail.
const (
	maxList   = 20       // members of a list
	maxValue  = 300      // bytes of a value that was changed
	maxDetail = 16 << 10 // bytes of JSON
)

// bound cuts what is long in lists. What it cuts is marked.
func (d *Detail) bound() {
	if p := d.Intent; p != nil && len(p.Origins) > maxList {
		p.Origins, p.Cut = p.Origins[:maxList], true
	}
	if r := d.Rule; r != nil {
		r.Statements, r.Approvers = r.Statements[:min(len(r.Statements), maxList)], r.Approvers[:min(len(r.Approvers), maxList)]
	}
	v := d.Decision
	if v == nil {
		return
	}
	v.Votes, v.Needs, v.Missing = v.Votes[:min(len(v.Votes), 2*maxList)], v.Needs[:min(len(v.Needs), maxList)], v.Missing[:min(len(v.Missing), maxList)]
	if len(v.Edits) > maxList {
		v.Edits = append(v.Edits[:maxList:maxList], intent.Change{Path: "(and more)"})
	}
	for i := range v.Edits {
		v.Edits[i].Was, v.Edits[i].Is = brief(v.Edits[i].Was), brief(v.Edits[i].Is)
	}
}

// brief is a value as it is, or what says how long it is.
func brief(v json.RawMessage) json.RawMessage {
	if len(v) <= maxValue {
		return v
	}
	b, _ := json.Marshal(map[string]any{"truncated": true, "bytes": len(v)})
	return b
}

// clean gives a copy in which clean was applied to every string, names of members
// included; then it bounds it. What can't be read any more is withheld.
func (d *Detail) clean(clean func(string) string) *Detail {
	if d == nil {
		return nil
	}
	raw, err := json.Marshal(d)
	var tree any
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber() // an amount stays what it was
		err = dec.Decode(&tree)
	}
	if err == nil {
		raw, err = json.Marshal(swept(tree, clean))
	}
	out := &Detail{}
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return &Detail{Withheld: "it can't be shown: something in its place was taken out"}
	}
	if out.bound(); len(raw) > maxDetail {
		if raw, err = json.Marshal(out); err != nil || len(raw) > maxDetail {
			return &Detail{Withheld: "it is too long"}
		}
	}
	return out
}

// swept applies clean to every string of a JSON value. A number is looked at as
// the text that it is.
func swept(v any, clean func(string) string) any {
	switch x := v.(type) {
	case string:
		return clean(x)
	case json.Number:
		if s := clean(x.String()); s != x.String() {
			return s
		}
	case []any:
		for i := range x {
			x[i] = swept(x[i], clean)
		}
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[clean(k)] = swept(e, clean)
		}
		return out
	}
	return v
}
