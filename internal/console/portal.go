package console

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// mission is a Mission as the Portal shows it.
type mission struct {
	Name, Title, Description, Goal string
	Asks                           []ask
	Scripted                       bool // its model is a stand-in
	SelfApproval                   bool
}

// ask is an action of a Mission that waits for people.
type ask struct{ Connection, Tool, Team string }

type portalPage struct {
	Frame
	Missions []mission
}

func (*portalPage) name() string { return "portal" }

type missionPage struct {
	Frame
	Mission mission
	Key     string // of this form: sent twice, it starts one Run
	Fields  []field
	Problem *problem
	Looks   bool   // something that was filled in looks like a secret
	Taken   string // what became of it
}

func (*missionPage) name() string { return "mission" }

// field is one field of the form with what was filled in.
type field struct {
	resource.Field
	ID    string // of the element, and its name in the form
	Value string
	Error string
}

// fieldPrefix keeps the form's own fields apart from the Mission's.
const fieldPrefix = "in."

func (v *visit) portal() (err error) {
	p := &portalPage{Frame: Frame{Title: "Portal"}}
	if p.Missions, err = v.missions(); err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

// missions lists those that who is signed in may start.
func (v *visit) missions() ([]mission, error) {
	w, err := v.Gate.World(v.who.Tenant)
	if err != nil {
		return nil, err
	}
	var out []mission
	for _, r := range w.Catalog.Resources() {
		m, ok := r.(*resource.Mission)
		if !ok {
			continue
		}
		switch err := v.mayStart(w, m); {
		case err == nil:
			out = append(out, shown(w, m))
		case !fault.Is(err, fault.Denied):
			return nil, err
		}
	}
	return out, nil
}

// mayStart says early what the gate would say: nil, Denied, or why that can't be
// found out.
func (v *visit) mayStart(w gate.World, m *resource.Mission) error {
	if m.Model == "" {
		return fault.Newf(fault.Denied, "the Mission %s is for Workers outside: they start it through the API", m.Name)
	}
	if len(m.Starters) == 0 {
		return nil
	}
	for _, team := range m.Starters {
		if _, err := v.Directory.MemberSince(v.Context(), v.who.Tenant, w.Catalog.TeamID(team), v.who.ID); err == nil {
			return nil
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return fault.Newf(fault.Denied, "the Mission %s is started by members of the Team %s", m.Name, strings.Join(m.Starters, " or "))
}

func shown(w gate.World, m *resource.Mission) mission {
	out := mission{Name: m.Name, Title: m.Title, Description: m.Description, Goal: m.Goal, Scripted: scripted(w, m), SelfApproval: m.AllowSelfApproval}
	if out.Title == "" {
		out.Title = m.Name
	}
	for _, d := range m.Decisions {
		out.Asks = append(out.Asks, ask{d.Connection, d.Tool, d.Team})
	}
	return out
}

// scripted reports whether the Mission thinks with a stand-in for a model.
func scripted(w gate.World, m *resource.Mission) bool {
	c, ok := w.Catalog.Connection(m.Model)
	if !ok {
		return false
	}
	i, ok := w.Catalog.Integration(c.Integration)
	return ok && i.Model != nil && i.Model.Scripted
}

// mission finds the Mission of the address, if the person may start it.
func (v *visit) mission() (gate.World, *resource.Mission, error) {
	w, err := v.Gate.World(v.who.Tenant)
	if err != nil {
		return w, nil, err
	}
	m, ok := w.Catalog.Mission(v.PathValue("mission"))
	if !ok {
		return w, nil, fault.Newf(fault.NotFound, "there is no Mission %q", fault.Quote(v.PathValue("mission"))).WithHint("the Portal lists those that you may start")
	}
	return w, m, v.mayStart(w, m)
}

func (v *visit) missionForm() error {
	w, m, err := v.mission()
	if err != nil {
		return err
	}
	p := formOf(w, m)
	p.Key = ident.New("form")
	v.render(http.StatusOK, p)
	return nil
}

func formOf(w gate.World, m *resource.Mission) *missionPage {
	p := &missionPage{Mission: shown(w, m)}
	p.Title = p.Mission.Title
	for _, f := range m.Form {
		if f.Type == "" {
			f.Type = "text"
		}
		if f.Label == "" {
			f.Label = f.Name
		}
		p.Fields = append(p.Fields, field{Field: f, ID: fieldPrefix + f.Name})
	}
	return p
}

// startRun checks the form field by field, so that each error stands where it
// belongs, and hands it to the gate, which checks the whole again.
func (v *visit) startRun() error {
	w, m, err := v.mission()
	if err != nil {
		return err
	}
	p := formOf(w, m)
	p.Key = v.PostFormValue("key")
	if !isKey(p.Key) {
		return fault.New(fault.Invalid, "the form is not one that this page sent").WithHint("open the form again")
	}
	input := map[string]any{}
	wrong := 0
	for i := range p.Fields {
		f := &p.Fields[i]
		f.Value = v.PostFormValue(f.ID)
		if err := f.read(input); err != nil {
			f.Error = sentence(err.Error())
			wrong++
		}
	}
	if wrong > 0 {
		p.Problem = &problem{Heading: "The Run was not started", Detail: "Some fields need another look: " + strconv.Itoa(wrong) + "."}
		v.again(http.StatusBadRequest, p)
		return nil
	}
	body, err := intent.Marshal(input)
	if err != nil {
		return err
	}
	if v.PostFormValue("hand-in") != "" {
		return v.handIn(p, m, body)
	}
	// The account in the key: nobody gets at another's Run with a key of theirs.
	r, err := v.Gate.StartRun(v.Context(), v.who, gate.Start{Mission: m.Name, Input: body, Via: "portal", Source: gate.Source(v.Request), Key: "portal:" + v.who.ID + ":" + p.Key})
	if err != nil {
		var status int
		status, p.Problem = v.explain(err)
		p.Problem.Heading = "The Run was not started"
		_, p.Looks = errors.AsType[*gate.LooksSecret](err)
		v.again(status, p)
		return nil
	}
	v.redirect("/runs/" + r.ID)
	return nil
}

// again shows the form with what was filled in; empty where that holds a known
// secret, which goes into no page, its typist's own included.
func (v *visit) again(status int, p *missionPage) {
	var all strings.Builder
	for _, f := range p.Fields {
		all.WriteString(f.Value + "\n")
	}
	if len(v.Vault.Scrub(v.who.Tenant).Contains([]byte(all.String()))) > 0 {
		p.empty()
	}
	v.render(status, p)
}

func (p *missionPage) empty() {
	for i := range p.Fields {
		p.Fields[i].Value = ""
	}
}

// handIn takes what looks like a secret out of the form and hands it to an admin;
// the form comes back without it.
func (v *visit) handIn(p *missionPage, m *resource.Mission, input []byte) error {
	out, err := v.Gate.HandIn(v.Context(), v.who, gate.Start{Mission: m.Name, Input: input})
	if err != nil {
		status, problem := v.explain(err)
		problem.Heading = "Nothing was handed in"
		p.Problem = problem
		v.again(status, p)
		return nil
	}
	var left map[string]any
	if json.Unmarshal(out.Input, &left) != nil {
		p.empty() // what was taken out was no part of a field
	}
	for i := range p.Fields {
		if s, ok := left[p.Fields[i].Name].(string); ok {
			p.Fields[i].Value = s
		}
	}
	kept := 0
	for _, t := range out.Taken {
		if t.Kept {
			kept++
		}
	}
	p.Taken = "It was taken out of the form, and an admin finds it among the incidents."
	if kept < len(out.Taken) {
		p.Taken = "It was taken out of the form. Not all of it could be kept for an admin, who finds among the incidents why."
	}
	v.again(http.StatusOK, p)
	return nil
}

// read checks the value and adds it to the input.
func (f *field) read(input map[string]any) error {
	if f.Value == "" && !f.Required {
		return nil
	}
	var value any = strings.ReplaceAll(f.Value, "\r\n", "\n") // as browsers send a text area's lines
	if f.Type == "number" && f.Value != "" {
		n, err := strconv.ParseFloat(f.Value, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return fault.New(fault.Invalid, "this is not a number")
		}
		value = n
	}
	one, err := json.Marshal(map[string]any{f.Name: value})
	if err != nil {
		return fault.New(fault.Invalid, "this can't be read")
	}
	if err := (&resource.Mission{Form: []resource.Field{f.Field}}).CheckInput(one); err != nil {
		return err
	}
	input[f.Name] = value
	return nil
}

// isKey reports whether s has the form of an id: what a form of ours carries.
func isKey(s string) bool {
	id, ok := strings.CutPrefix(s, "form_")
	return ok && len(id) == 26 && !strings.ContainsFunc(id, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}
