package config_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// The example loads, every reference leads somewhere, its policy fits its tools,
// and there is one human gate: the vendor's creation.
func TestTheExampleHolds(t *testing.T) {
	b, err := config.Load(config.Options{Vars: map[string]string{
		"TAXVERIFY_URL": "http://127.0.0.1:1", "ERP_URL": "http://127.0.0.1:2", "TICKETING_URL": "http://127.0.0.1:3", "MODEL_URL": "http://127.0.0.1:4",
	}}, "../../examples/vendor-onboarding/resources")
	if err != nil {
		t.Fatal(err)
	}
	s, err := catalog.Build(catalog.Source{Resources: b.Resources, NewKind: func(i *resource.Integration) (connector.Kind, error) {
		if i.Model != nil {
			return model.New(i)
		}
		return http.New(i)
	}})
	if err != nil {
		t.Fatal(b.Locate(err))
	}
	var w policy.World
	var policies []resource.Policy
	for _, r := range s.Resources() {
		switch r := r.(type) {
		case *resource.Integration:
			in, _ := s.Integration(r.Name)
			for _, tool := range in.Kind.Tools() {
				w.Tools = append(w.Tools, policy.Tool{Integration: r.Name, Name: tool.Name, Effect: tool.Effect, Schema: tool.Schema})
			}
		case *resource.Connection:
			w.Connections = append(w.Connections, r.Name)
		case *resource.Mission:
			w.Missions = append(w.Missions, r.Name)
		case *resource.Team:
			w.Teams = append(w.Teams, r.Name)
		case *resource.Policy:
			policies = append(policies, *r)
		}
	}
	set, err := policy.Compile(policies, w)
	if err != nil {
		t.Fatal(b.Locate(err))
	}
	asked := 0
	const mission = "vendor-onboarding"
	offered := s.Tools(mission)
	if len(offered) < 6 {
		t.Fatalf("the Worker is offered %d tools", len(offered))
	}
	for _, o := range offered {
		m, err := s.Match(mission, o.Connection, o.Tool.Name)
		if err != nil {
			t.Fatal(err)
		}
		v := set.Evaluate(policy.Question{Tenant: "acme", Run: "run_1", Mission: mission, Starter: "acc_1", Connection: o.Connection,
			Integration: m.Integration.Name, Tool: o.Tool.Name, Effect: o.Tool.Effect, Args: []byte(`{}`),
			Worker: "built-in", Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)})
		switch v.Effect {
		case policy.Allow:
		case policy.Ask:
			if asked++; o.Name != "erp-write__createVendor" || m.Decision == nil || m.Decision.Team != "finance" {
				t.Errorf("a person is asked about %s", o.Name)
			}
		default:
			t.Errorf("%s: %s %s", o.Name, v.Effect, v.Why)
		}
	}
	if asked != 1 {
		t.Errorf("a person is asked about %d tools", asked)
	}
}
