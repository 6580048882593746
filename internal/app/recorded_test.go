package app

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// It must see inside: the sweep looks every fifteen seconds.

const account = "DE89370400440532013000"

var setup = ident.Principal{Tenant: "acme", Kind: ident.System, ID: "test"}

// waits has a Worker propose a payment, on which the Team finance decides.
func (c *calendar) waits() {
	c.t.Helper()
	c.apply()
	_, _, err := c.Directory.CreateAccount(c.t.Context(), setup, identity.NewAccount{Tenant: "acme", Name: "ann", Roles: []ident.Role{ident.Approver}, Password: "correct horse of ann"}, c.time)
	c.must(err)
	head := func(k resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
	}
	_, err = c.Apply(c.t.Context(), setup, []resource.Resource{
		&resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{"ann"}},
		&resource.Integration{Head: head(resource.KindIntegration, "bank"), HTTP: &resource.HTTP{BaseURL: "https://bank.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"Bank","version":"1"},"paths":{"/p/{to}":{"post":{"operationId":"pay","parameters":[{"name":"to","in":"path","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: head(resource.KindConnection, "bank"), Integration: "bank", Tools: []string{"pay"}, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "key"}},
		&resource.Mission{Head: head(resource.KindMission, "pay"), Goal: "pay", Connections: []string{"bank"}, Decisions: []resource.DecisionRule{{Connection: "bank", Team: "finance"}}},
	}, false, false)
	c.must(err)
	r, err := c.Gate.StartRun(c.t.Context(), builder, gate.Start{Mission: "pay", Via: "api", Outside: true})
	c.must(err)
	it, err := c.Gate.Admit(c.t.Context(), ident.Principal{Tenant: "acme", Kind: ident.Run, ID: r.ID},
		intent.Proposal{Connection: "bank", Tool: "pay", Args: json.RawMessage(`{"to":"` + account + `"}`), Reason: "it is due"})
	c.must(err)
	if it.State != intent.Parked {
		c.t.Fatalf("it is %s", it.State)
	}
}

func (c *calendar) heldEntries() []audit.Row {
	c.t.Helper()
	rows, err := c.store.Audit().List(c.t.Context(), "acme", audit.Filter{Type: audit.DecisionHeld}, 0, 10)
	c.must(err)
	return rows
}

func (c *calendar) keep(name string, meant bool) error {
	_, err := c.Vault.Set(c.t.Context(), vault.Write{Tenant: "acme", Name: name, Actor: setup, AlthoughRecorded: meant, Fields: map[string][]byte{"token": []byte(account)}})
	return err
}

func TestWhatANewSecretStandsInIsHeldAlsoWhenNobodyLooks(t *testing.T) {
	c := open(t, t.TempDir(), monday)
	c.waits()
	c.must(c.holdAltered(t.Context()))
	if n := len(c.heldEntries()); n != 0 {
		t.Fatalf("%d are held without cause", n)
	}
	c.must(c.keep("weapon", true))
	for range 2 {
		c.must(c.holdAltered(t.Context()))
		if rows := c.heldEntries(); len(rows) != 1 || !strings.Contains(string(rows[0].Entry), `"secrets":["weapon"]`) {
			t.Fatalf("the record has %v", rows)
		}
		met, err := c.store.Incidents(t.Context(), "acme", incident.Filter{Kind: incident.Altered, Limit: 10})
		if err != nil || len(met) != 1 || met[0].Secret != "weapon" || met[0].Run == "" || !strings.HasPrefix(met[0].Place, "Decision dec_") {
			t.Fatalf("the incidents are %+v, %v", met, err)
		}
	}
	c.time = c.time.Add(decision.DefaultLife) // held or not, it expires
	if n, err := c.Desk.Expire(t.Context(), c.time); n != 1 || err != nil {
		t.Errorf("%d expired, %v", n, err)
	}
}

// A value is looked for in the tenant's own traffic alone, and a sealed vault does
// not say whose Secret stands in something.
func TestNothingOfAnotherTenantIsTold(t *testing.T) {
	c := open(t, t.TempDir(), monday)
	c.waits()
	if err := c.keep("weapon", false); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), account) {
		t.Errorf("it is stored: %v", err)
	}
	other := ident.Principal{Tenant: "globex", Kind: ident.System, ID: "test"}
	_, err := c.Vault.Set(t.Context(), vault.Write{Tenant: "globex", Name: "weapon", Actor: other, Fields: map[string][]byte{"token": []byte(account)}})
	if err != nil {
		t.Errorf("another tenant is told: %v", err)
	}
	c.must(c.holdAltered(t.Context()))
	if n := len(c.heldEntries()); n != 0 {
		t.Errorf("another tenant's Secret holds %d", n)
	}
	c.Vault.Seal()
	if names, err := c.known("acme", []byte(account)); !fault.Is(err, fault.Unavailable) || names != nil {
		t.Errorf("sealed, it names %v, %v", names, err)
	}
	c.must(c.Vault.Unseal(t.Context(), c.store, c.cfg.Seals...))
}
