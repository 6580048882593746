package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: the loop around it looks every ten seconds.

type calendar struct {
	*App
	t    *testing.T
	time time.Time
}

// open gives a program without its loops, whose Mission has a schedule: every
// Monday at six.
func open(t *testing.T, dir string, at time.Time) *calendar {
	t.Helper()
	c := &calendar{t: t, time: at}
	var err error
	c.App, err = New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.DiscardHandler,
		Now: func() time.Time { return c.time }, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}})
	c.must(err)
	t.Cleanup(func() { c.must(c.Stop(context.WithoutCancel(t.Context()))) })
	c.must(c.Vault.Unseal(t.Context(), c.store, c.cfg.Seals...))
	c.must(c.loadWorlds(t.Context()))
	return c
}

func (c *calendar) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *calendar) apply(s ...resource.Schedule) {
	c.t.Helper()
	who := ident.Principal{Tenant: "acme", Kind: ident.System, ID: "test"}
	if _, err := c.Vault.Set(c.t.Context(), vault.Write{Tenant: "acme", Name: "key", Actor: who,
		Fields: map[string][]byte{"token": []byte("cnry-5kq0v1m9x2-schedule")}}); err != nil {
		c.t.Fatal(err)
	}
	head := func(k resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
	}
	_, err := c.Apply(c.t.Context(), who, []resource.Resource{
		&resource.Integration{Head: head(resource.KindIntegration, "model"), Model: &resource.Model{Provider: "openai", Model: "m",
			BaseURL: "http://127.0.0.1:1/v1", Network: resource.Network{AllowLoopbackHTTP: true}}},
		&resource.Connection{Head: head(resource.KindConnection, "model"), Integration: "model", Tools: []string{"complete"},
			Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "key"}},
		&resource.Integration{Head: head(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"ERP","version":"1"},"paths":{"/v":{"get":{"operationId":"list","responses":{"200":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: head(resource.KindConnection, "erp"), Integration: "erp", Tools: []string{"list"},
			Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "key"}},
		&resource.Mission{Head: head(resource.KindMission, "weekly"), Goal: "look", Model: "model", Connections: []string{"erp"}, Schedule: s,
			Form: []resource.Field{{Name: "what", Required: true}}},
	}, false, false)
	c.must(err)
}

// at moves the clock, looks, and gives all Runs that there are.
func (c *calendar) at(when time.Time) []intent.Run {
	c.t.Helper()
	c.time = when
	c.startDue(c.t.Context())
	runs, err := c.store.Runs(c.t.Context(), "acme", "", 100)
	c.must(err)
	return runs
}

var monday = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

func weekly() resource.Schedule {
	return resource.Schedule{Cron: "0 6 * * 1", Input: map[string]any{"what": "vendors"}}
}

func TestAScheduleStartsOneRunWhenItsTimeComes(t *testing.T) {
	c := open(t, t.TempDir(), monday.Add(-time.Hour))
	c.apply(weekly())
	for _, step := range []struct {
		when time.Time
		runs int
	}{
		{monday.Add(-time.Hour), 0},   // seen for the first time
		{monday.Add(-time.Second), 0}, // not yet
		{monday, 1},
		{monday.Add(10 * time.Second), 1}, // the next look
		{monday.AddDate(0, 0, 7).Add(-time.Second), 1},
		{monday.AddDate(0, 0, 7).Add(9 * time.Second), 2},
	} {
		if runs := c.at(step.when); len(runs) != step.runs {
			t.Fatalf("at %s there are %d Runs, not %d", step.when, len(runs), step.runs)
		}
	}
	r := c.at(c.time)[1]
	var input map[string]string
	c.must(json.Unmarshal(r.Input, &input))
	if r.Via != "schedule" || r.Starter != "system:schedule" || input["what"] != "vendors" {
		t.Errorf("the Run is %+v", r)
	}
}

func TestAScheduleThatIsNewDoesNotStartForThePast(t *testing.T) {
	c := open(t, t.TempDir(), monday.Add(time.Minute))
	c.apply(weekly())
	if runs := c.at(c.time); len(runs) != 0 {
		t.Errorf("there are %d Runs", len(runs))
	}
}

func TestTimesThatWereMissedMakeOneRunTogether(t *testing.T) {
	dir := t.TempDir()
	t.Run("the first life", func(t *testing.T) {
		c := open(t, dir, monday.Add(-time.Hour))
		c.apply(weekly())
		c.at(c.time)
	})
	t.Run("three weeks later", func(t *testing.T) {
		c := open(t, dir, monday)
		if runs := c.at(monday.AddDate(0, 0, 21).Add(time.Hour)); len(runs) != 1 {
			t.Errorf("there are %d Runs", len(runs))
		}
	})
}

// A crash after the start and before the mark, or two servers, must not make two.
func TestAStartThatWasNotMarkedIsNotMadeTwice(t *testing.T) {
	c := open(t, t.TempDir(), monday.Add(-time.Hour))
	c.apply(weekly())
	c.at(c.time)
	c.at(monday)
	c.must(c.store.MarkSchedule(t.Context(), "acme", "weekly", weekly().Cron, monday.Add(-time.Hour)))
	if runs := c.at(monday.Add(time.Second)); len(runs) != 1 {
		t.Errorf("there are %d Runs", len(runs))
	}
}

// An input that the form refuses starts nothing, however often it is tried, and
// the other schedule goes on.
func TestAScheduleWithABadInputStartsNothing(t *testing.T) {
	c := open(t, t.TempDir(), monday.Add(-time.Hour))
	bad := resource.Schedule{Cron: "30 5 * * 1", Input: map[string]any{"what": "the password is cnry-8wz3n6t4y1-schedule"}}
	c.apply(bad, weekly())
	_, err := c.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "later", Actor: ident.Principal{Tenant: "acme", Kind: ident.System, ID: "test"},
		Fields: map[string][]byte{"token": []byte("cnry-8wz3n6t4y1-schedule")}, AlthoughRecorded: true})
	c.must(err) // from now on it is known for a secret
	c.at(c.time)
	runs := c.at(monday)
	if len(runs) != 1 || string(runs[0].Input) != `{"what":"vendors"}` {
		t.Errorf("the Runs are %+v", runs)
	}
}
