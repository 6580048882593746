package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// asking is a field of the form that asks the audit log.
type asking struct {
	Name, Label, Help, Value, Type string
}

type auditQueryPage struct {
	Frame
	Fields  []asking
	Asked   bool
	Problem *problem
	Uses    []auditUse
	Older   int64 // where the next page ends; 0: there is none
}

func (*auditQueryPage) name() string { return "auditquery" }

// auditUse is a call, or an entry of something else, with the names of people as
// they are today; the log has their ids.
type auditUse struct {
	audit.Use
	Who, For string
	By       []string // who approved, or the rules that let it through
	Credential,
	Result string
}

// askedFor are the fields, as the API has them.
var askedFor = []asking{
	{Name: "record", Label: "Record", Help: "as its Tool names it, like V-1017"}, {Name: "secret", Label: "Secret"}, {Name: "run", Label: "Run"}, {Name: "mission", Label: "Mission"},
	{Name: "person", Label: "Person", Help: "who acted, started it or approved"}, {Name: "system", Label: "System"}, {Name: "connection", Label: "Connection"}, {Name: "tool", Label: "Tool"},
	{Name: "since", Label: "Not before", Help: "UTC", Type: "datetime-local"}, {Name: "until", Label: "Not after", Help: "UTC", Type: "datetime-local"},
}

// maxAsked bounds what a field takes, in bytes.
const maxAsked = 1000

// auditQuery answers who did what with which credential. Without a question it is the
// form alone.
func (v *visit) auditQuery() error {
	p := &auditQueryPage{Frame: Frame{Title: "Who did what"}}
	var q audit.Query
	to := map[string]*string{"record": &q.Record, "secret": &q.Secret, "run": &q.Run, "mission": &q.Mission, "person": &q.Person, "system": &q.System,
		"connection": &q.Connection, "tool": &q.Tool}
	kept := url.Values{}
	for _, f := range askedFor {
		f.Value = strings.TrimSpace(v.FormValue(f.Name))
		if len(f.Value) > maxAsked {
			f.Value = ""
		}
		if f.Value != "" {
			p.Asked = true
			kept.Set(f.Name, f.Value)
		}
		if s := to[f.Name]; s != nil {
			*s = f.Value
		}
		p.Fields = append(p.Fields, f)
	}
	err := times(&q, kept)
	if n, perr := strconv.ParseInt(v.FormValue("before"), 10, 64); perr == nil && n > 0 {
		q.Before = n
	}
	var a audit.Answer
	if err == nil && p.Asked {
		a, err = v.Ask(v.Context(), v.who.Tenant, q)
	}
	status := http.StatusOK
	switch {
	case fault.Is(err, fault.Invalid), fault.Is(err, fault.NotFound):
		status, p.Problem = v.explain(err)
	case err != nil:
		return err
	}
	p.Uses = v.uses(a.Uses)
	p.Older = a.Next
	v.render(status, p)
	return nil
}

// times reads the two instants as a browser sends them, or as the API takes them.
func times(q *audit.Query, from url.Values) error {
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		s := from.Get(name)
		if s == "" {
			continue
		}
		for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
			if t, err := time.Parse(form, s); err == nil {
				*to = t.UTC()
			}
		}
		if to.IsZero() {
			return fault.New(fault.Invalid, "that is no time").WithHint("write it like 2026-11-23T12:00, in UTC")
		}
	}
	return nil
}

// uses puts the names of people to what was found.
func (v *visit) uses(in []audit.Use) []auditUse {
	people := v.people()
	name := func(who string) string {
		if id, is := strings.CutPrefix(who, string(ident.Person)+":"); is || strings.HasPrefix(who, "acc_") {
			if n := people(id); n != "" {
				return n
			}
		}
		return who
	}
	out := make([]auditUse, len(in))
	for i, u := range in {
		x := auditUse{Use: u, Who: name(u.Actor), For: name(u.Starter), Credential: u.Secret, Result: u.Outcome}
		if u.Worker != "" {
			x.Who = u.Worker + " Worker"
		}
		for _, by := range u.Approvers {
			x.By = append(x.By, name(by))
		}
		if len(x.By) == 0 {
			for _, rule := range u.Policies {
				x.By = append(x.By, "rule "+rule)
			}
		}
		if u.Version > 0 {
			x.Credential += " v" + strconv.FormatInt(u.Version, 10)
		}
		if x.Result == "" {
			x.Result = string(u.Type)
		}
		out[i] = x
	}
	return out
}
