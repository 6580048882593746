package config_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
)

const aCase = `cases:
  - name: one
    mission: m
    connection: c
    tool: t
    args: {amount: 10000.0001, big: 123456789012345678, list: [1, null, "x"]}
    want: ask
`

func cases(text string) ([]config.Case, error) {
	b, err := config.LoadFS(fstest.MapFS{"t.yaml": {Data: []byte(team)}, "c.yaml": {Data: []byte(text)}}, nil, config.Options{Cases: true})
	if err != nil {
		return nil, err
	}
	return b.Cases(), nil
}

func TestACaseIsReadAsItIsWritten(t *testing.T) {
	all, err := cases(aCase)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	c := all[0]
	if string(c.Args) != `{"amount":10000.0001,"big":123456789012345678,"list":[1,null,"x"]}` || c.Worker != "built-in" || !c.Time().Equal(config.CaseTime) || c.From().IsValid() {
		t.Errorf("case %+v, arguments %s", c, c.Args)
	}
	if file, line := c.Place(); file != "c.yaml" || line != 2 {
		t.Errorf("it stands at %s:%d", file, line)
	}
	if e := c.Wrong("want", fault.New(fault.Invalid, "no")); e.Error() != "c.yaml:7:11: no" {
		t.Errorf("error %q", e)
	}
}

func TestACaseThatSaysSomethingElseIsRefusedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(aCase, "want: ask", "want: aks", 1):                         `c.yaml:7:11: "aks" is no verdict`,
		strings.Replace(aCase, "want: ask", "wanted: ask", 1):                       `c.yaml:7:5: the key "wanted" is not known here`,
		strings.Replace(aCase, "    want: ask\n", "", 1):                            "the case has no want",
		strings.Replace(aCase, "tool: t", "worker: agent", 1):                       "c.yaml:5:13: ",
		strings.Replace(aCase, "tool: t", "tool: t\n    at: yesterday", 1):          "c.yaml:6:9: it is not a time",
		strings.Replace(aCase, "tool: t", "tool: t\n    source: here", 1):           "c.yaml:6:13: it is not an IP address",
		strings.Replace(aCase, "tool: t", "tool: t\n    used: {a/b: {rate: x}}", 1): "c.yaml:6:24: ",
		strings.Replace(aCase, "tool: t", "tool: t\n    used: {a/b: {rte: 1}}", 1):  "c.yaml:6:18: ",
		aCase + strings.TrimPrefix(aCase, "cases:\n"):                               `c.yaml:8:11: the case "one" is here twice; the first is at c.yaml:2`,
		"cases: []\n":           "it has no case",
		"cases: 5\n":            "c.yaml:1:8: ",
		"cases:\n":              "c.yaml:1:1: ",
		aCase + "other: 1\n":    `the key "other" is not known`,
		aCase + "---\n" + aCase: "not one document",
		strings.Replace(aCase, "{amount: 10000.0001, big: 123456789012345678, list: [1, null, \"x\"]}", "[1]", 1): "c.yaml:6:11: the arguments are not a mapping",
	} {
		_, err := cases(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

// A directory with cases beside its resources can be applied; a file with cases
// alone is no resource.
func TestCasesAreNoResources(t *testing.T) {
	files := fstest.MapFS{"t.yaml": {Data: []byte(team)}, "c.yaml": {Data: []byte(aCase)}}
	b, err := config.LoadFS(files, nil, config.Options{})
	if err != nil || len(b.Resources) != 1 || len(b.Cases()) != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := config.LoadFS(files, []string{"c.yaml"}, config.Options{}); err == nil || !strings.Contains(err.Error(), "no resources") {
		t.Errorf("error %v", err)
	}
	// What has a resource is read as one, whatever else it says.
	files["c.yaml"] = &fstest.MapFile{Data: []byte(team + "cases: []\n")}
	if _, err := config.LoadFS(files, nil, config.Options{}); err == nil {
		t.Error("a resource with cases was passed over")
	}
}

func FuzzCases(f *testing.F) {
	f.Add(aCase)
	f.Add("cases:\n- {name: a, mission: m, connection: c, tool: t, want: deny, used: {p/s: {budget: 1.5}}, at: \"2026-01-05T12:00:00Z\", source: ::1}\n")
	f.Add("cases: [[[[")
	f.Add("cases:\n- name: ${X}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 {
			return
		}
		all, err := cases(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) && len(config.Errors(err)) == 0 {
				t.Errorf("%v is of no kind", err)
			}
			return
		}
		for _, c := range all {
			if c.Want != "allow" && c.Want != "ask" && c.Want != "deny" || c.Name == "" || c.Args[0] != '{' || c.Time().Equal(time.Time{}) && c.At == "" {
				t.Errorf("case %+v", c)
			}
		}
	})
}
