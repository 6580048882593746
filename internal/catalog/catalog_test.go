package catalog_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// system is a connector that has Tools and sends nothing.
type system struct {
	tools  []connector.Tool
	origin resource.Origin
}

func (s *system) Tools() []connector.Tool             { return s.tools }
func (s *system) Origin() resource.Origin             { return s.origin }
func (s *system) Network() resource.Network           { return resource.Network{} }
func (s *system) Check(string, json.RawMessage) error { return nil }
func (s *system) Render(string, json.RawMessage, string) (intent.Request, error) {
	return intent.Request{}, nil
}
func (s *system) Do(context.Context, http.RoundTripper, connector.Call) connector.Answer {
	return connector.Answer{Outcome: connector.NotSent}
}

func newKind(i *resource.Integration) (connector.Kind, error) {
	s := &system{origin: resource.Origin{Scheme: "https", Host: i.Name + ".example:443"}}
	add := func(name string, e resource.Effect, l *resource.Lookup) {
		s.tools = append(s.tools, connector.Tool{Name: name, Effect: e, Digest: "d", Lookup: l})
	}
	if i.Model != nil {
		add("complete", resource.Read, nil)
		return s, nil
	}
	add("createVendor", resource.Write, i.HTTP.Tools["createVendor"].Lookup)
	add("dropVendor", resource.Write, nil)
	add("findVendors", resource.Read, nil)
	return s, nil
}

func head(k resource.Kind, name string) resource.Head {
	return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
}

func httpSystem(name string) *resource.Integration {
	return &resource.Integration{Head: head(resource.KindIntegration, name), HTTP: &resource.HTTP{BaseURL: "https://" + name + ".example", OpenAPI: json.RawMessage(`{}`)}}
}

func conn(name, integration string, tools ...string) *resource.Connection {
	return &resource.Connection{Head: head(resource.KindConnection, name), Integration: integration, Tools: tools,
		Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: name + "-key"}}
}

func mission(name, model string, conns ...string) *resource.Mission {
	return &resource.Mission{Head: head(resource.KindMission, name), Goal: "Do it.", Model: model, Connections: conns}
}

type fixture struct {
	erp, crm   *resource.Integration
	read, pin  *resource.Connection
	write      *resource.Connection
	onboard    *resource.Mission
	lookups    *resource.Mission
	everything []resource.Resource
}

func example() *fixture {
	f := &fixture{
		erp: httpSystem("erp"), crm: httpSystem("crm"),
		read: conn("erp-read", "erp", "findVendors"), write: conn("erp-write", "erp", "createVendor"), pin: conn("crm-all", "crm", "findVendors", "dropVendor"),
		onboard: mission("onboard", "model", "erp-read", "erp-write"), lookups: mission("lookups", "", "erp-read"),
	}
	f.pin.Auth.Secret = "crm@v3"
	f.erp.HTTP.Tools = map[string]resource.ToolRule{"createVendor": {ReferenceHeader: "X-Reference",
		Lookup: &resource.Lookup{Connection: "erp-read", Tool: "findVendors", Args: map[string]any{"ref": "$reference"}, Found: "/items"}}}
	f.onboard.Decisions = []resource.DecisionRule{
		{Connection: "erp-write", Team: "finance", Expires: resource.Duration(time.Hour), PinSecret: true},
		{Connection: "erp-write", Tool: "createVendor", Team: "board", Expires: resource.Duration(2 * time.Hour)},
	}
	team := func(n string) *resource.Team {
		return &resource.Team{Head: head(resource.KindTeam, n), Members: []string{"ann"}}
	}
	llm := &resource.Integration{Head: head(resource.KindIntegration, "llm"), Model: &resource.Model{Provider: "openai", Model: "m"}}
	f.everything = []resource.Resource{f.onboard, f.lookups, f.read, f.write, f.pin, f.erp, f.crm, llm, conn("model", "llm", "complete"), team("finance"), team("board")}
	return f
}

func (f *fixture) source() catalog.Source {
	return catalog.Source{Resources: f.everything, NewKind: newKind,
		Revisions: map[catalog.Key]int64{{Kind: resource.KindIntegration, Name: "erp"}: 7}, TeamIDs: map[string]string{"board": "team_1"}}
}

func build(t *testing.T, f *fixture) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.Build(f.source())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every combination of Mission, Connection and Tool but those that were granted
// is refused, and all refusals are one.
func TestEveryOtherCombinationIsDenied(t *testing.T) {
	s := build(t, example())
	granted := map[[3]string]bool{
		{"onboard", "erp-read", "findVendors"}: true, {"onboard", "erp-write", "createVendor"}: true, {"onboard", "model", "complete"}: true,
		{"lookups", "erp-read", "findVendors"}: true,
	}
	names := func(more ...string) []string {
		return append(more, "", "*", "nothing", "erp", "crm", "llm", "onboard", "erp-read", "../erp-read", "ERP-READ", "erp-read ", "erp-read\x00")
	}
	missions := names("lookups")
	conns := names("erp-write", "crm-all", "model")
	tools := names("findVendors", "createVendor", "dropVendor", "complete", "findvendors", "erp-read__findVendors", "findVendors__createVendor")
	texts, ok := map[string]bool{}, 0
	for _, m := range missions {
		for _, c := range conns {
			for _, tool := range tools {
				match, err := s.Match(m, c, tool)
				if granted[[3]string{m, c, tool}] {
					if err != nil || match.Mission.Name != m || match.Connection.Name != c || match.Tool.Name != tool {
						t.Errorf("%s %s %s: %v", m, c, tool, err)
					}
					ok++
					continue
				}
				if match != nil || !fault.Is(err, fault.Denied) {
					t.Fatalf("%q may use %q of %q: %v", m, tool, c, err)
				}
				texts[err.Error()+"|"+fault.HintOf(err)] = true
			}
		}
	}
	if ok != len(granted) || len(texts) != 1 {
		t.Errorf("%d grants, refusals %v", ok, texts)
	}
}

func TestNilSnapshotDenies(t *testing.T) {
	var s *catalog.Snapshot
	if _, err := s.Match("onboard", "erp-read", "findVendors"); !fault.Is(err, fault.Denied) {
		t.Error(err)
	}
	if _, ok := s.Mission("onboard"); ok || s.Tools("onboard") != nil || s.TeamID("x") != "" || s.Resources() != nil {
		t.Error("a nil snapshot has something")
	}
}

func TestMatchIsComplete(t *testing.T) {
	s := build(t, example())
	m, err := s.Match("onboard", "erp-write", "createVendor")
	if err != nil {
		t.Fatal(err)
	}
	if m.Integration.Name != "erp" || m.Revision != 7 || m.Origin.Host != "erp.example:443" || m.Secret != "erp-write-key" || m.Version != 0 || m.Model() {
		t.Errorf("match %+v", m)
	}
	if d := m.Decision; d == nil || d.Team != "board" || time.Duration(d.Expires) != time.Hour || !d.PinSecret || s.TeamID(d.Team) != "team_1" {
		t.Errorf("decision rule %+v", d)
	}
	if m, err := s.Match("lookups", "erp-read", "findVendors"); err != nil || m.Decision != nil {
		t.Errorf("match %+v, %v", m, err)
	}
}

func TestPinnedVersionIsInTheMatch(t *testing.T) {
	f := example()
	f.lookups.Connections = append(f.lookups.Connections, "crm-all")
	if m, err := build(t, f).Match("lookups", "crm-all", "dropVendor"); err != nil || m.Secret != "crm" || m.Version != 3 {
		t.Errorf("match %+v, %v", m, err)
	}
}

func TestOfferHasNoModel(t *testing.T) {
	var names []string
	for _, o := range build(t, example()).Tools("onboard") {
		names = append(names, o.Name)
		if c, tool, ok := catalog.SplitToolName(o.Name); !ok || c != o.Connection || tool != o.Tool.Name {
			t.Errorf("%s splits into %s and %s", o.Name, c, tool)
		}
	}
	if !slices.Equal(names, []string{"erp-read__findVendors", "erp-write__createVendor"}) {
		t.Errorf("offered %v", names)
	}
}

func TestUnchangedIntegrationsKeepTheirConnector(t *testing.T) {
	f := example()
	first := build(t, f)
	src := f.source()
	changed := *f.crm
	h := *f.crm.HTTP
	h.BaseURL = "https://other.example"
	changed.HTTP = &h
	src.Previous = first
	src.Resources = append(slices.DeleteFunc(slices.Clone(f.everything), func(r resource.Resource) bool { return r == f.crm }), &changed)
	second, err := catalog.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	kind := func(s *catalog.Snapshot, n string) connector.Kind { i, _ := s.Integration(n); return i.Kind }
	if kind(first, "erp") != kind(second, "erp") || kind(first, "crm") == kind(second, "crm") {
		t.Error("the wrong connectors were kept")
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil      func(*fixture)
		want, hint string
	}{
		"unknown connection":        {func(f *fixture) { f.onboard.Connections[0] = "erp-raed"; f.onboard.Decisions = nil }, `Mission onboard: connections[0]: there is no Connection "erp-raed"`, "did you mean erp-read?"},
		"unknown integration":       {func(f *fixture) { f.read.Integration = "epr" }, `Connection erp-read: integration: there is no Integration "epr"`, "did you mean erp?"},
		"unknown team":              {func(f *fixture) { f.onboard.Decisions[0].Team = "finanse" }, `decisions[0].team: there is no Team "finanse"`, "did you mean finance?"},
		"unknown starters":          {func(f *fixture) { f.onboard.Starters = []string{"nobody"} }, `starters[0]: there is no Team "nobody"`, ""},
		"unknown tool":              {func(f *fixture) { f.read.Tools[0] = "findVendor" }, `Connection erp-read: tools[0]: the Integration has no tool "findVendor"`, "did you mean findVendors?"},
		"rule for an unknown tool":  {func(f *fixture) { f.crm.HTTP.Tools = map[string]resource.ToolRule{"drop": {Effect: resource.Write}} }, `Integration crm: http.tools.drop: the Integration has no tool "drop"`, ""},
		"lookup by a write":         {func(f *fixture) { f.erp.HTTP.Tools["createVendor"].Lookup.Tool = "dropVendor" }, "not a read", ""},
		"lookup elsewhere":          {func(f *fixture) { f.erp.HTTP.Tools["createVendor"].Lookup.Connection = "crm-all" }, "another Integration", ""},
		"lookup that is not held":   {func(f *fixture) { f.onboard.Connections = []string{"erp-write"} }, "which the Mission does not hold", "add erp-read"},
		"decision about no tool":    {func(f *fixture) { f.onboard.Decisions[1].Tool = "createVendors" }, `decisions[1].tool: the Connection "erp-write" does not allow`, "did you mean createVendor?"},
		"two rules":                 {func(f *fixture) { f.onboard.Decisions[1].Tool = "" }, "decisions[1]: there is another rule", ""},
		"a model that is none":      {func(f *fixture) { f.onboard.Model = "erp-read" }, "model: the Connection \"erp-read\" is not to a model", ""},
		"a resource twice":          {func(f *fixture) { f.everything = append(f.everything, httpSystem("erp")) }, "is taken", ""},
		"a resource that is broken": {func(f *fixture) { f.onboard.Goal = "" }, "goal: is missing", ""},
		"a connector that fails":    {func(f *fixture) { f.crm.HTTP.OpenAPI = json.RawMessage(`"x"`) }, "Integration crm: http: not a document", ""},
		"a tool name too long": {func(f *fixture) {
			f.read.Name = strings.Repeat("a", 40)
			f.read.Tools = []string{strings.Repeat("b", 40)}
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := example()
			c.spoil(f)
			src := f.source()
			src.NewKind = func(i *resource.Integration) (connector.Kind, error) {
				if i.HTTP != nil && string(i.HTTP.OpenAPI) == `"x"` {
					return nil, fault.New(fault.Invalid, "not a document")
				}
				return newKind(i)
			}
			s, err := catalog.Build(src)
			if err == nil || s != nil || !fault.Is(err, fault.Invalid) {
				t.Fatalf("Build: %v, kind %s", err, fault.KindOf(err))
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(hints(err), c.hint) {
				t.Errorf("error %q with hints %q, want %q and %q", err, hints(err), c.want, c.hint)
			}
		})
	}
}

// hints are those of every part of a joined error.
func hints(err error) (out string) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			out += fault.HintOf(e) + "\n"
		}
	}
	return out
}

func TestSplitToolName(t *testing.T) {
	for in, want := range map[string]bool{"a__b": true, "a___b": true, "a__b__c": true, "a_b": false, "__b": false, "a__": false, "": false} {
		c, tool, ok := catalog.SplitToolName(in)
		if ok != want || ok && catalog.ToolName(c, tool) != in {
			t.Errorf("%q: %q %q %v", in, c, tool, ok)
		}
	}
}

func TestHolderKeepsTenantsApart(t *testing.T) {
	var h catalog.Holder[*catalog.Snapshot]
	if s, v := h.Get("acme"); s != nil || v != 0 {
		t.Error("an empty holder has something")
	}
	a := build(t, example())
	if h.Set("acme", a) != 1 || h.Set("acme", a) != 2 {
		t.Error("the version does not count")
	}
	if s, v := h.Get("acme"); s != a || v != 2 {
		t.Error("what was set is not there")
	}
	if s, v := h.Get("globex"); s != nil || v != 0 {
		t.Error("a tenant sees another's")
	}
}
