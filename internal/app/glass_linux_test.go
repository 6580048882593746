package app

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// TestWhoBreaksTheGlassIsHeard has two admins approve in place of a Team: the log
// says it as an error, Channels are told of each, and one incident is open that tells
// who it was and why.
func TestWhoBreaksTheGlassIsHeard(t *testing.T) {
	c := newCrowd(t)
	_, err := c.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "hook", AnyOrigin: true, Actor: setter, Fields: map[string][]byte{"token": []byte(hookKey)}})
	c.must(err)
	_, err = c.Apply(t.Context(), setter, []resource.Resource{&resource.Channel{Head: headOf(resource.KindChannel, "ops"), Events: []resource.Event{resource.EventBreakGlass},
		Webhook: &resource.Webhook{URL: "https://ops.example/in", Secret: "hook"}}}, false, false)
	c.must(err)
	it, err := c.Desk.Get(t.Context(), "acme", c.wait(1, time.Hour).ID)
	c.must(err)
	d := it.Decision
	at := func(f func()) { f() }
	lane := notify.Lane{Tenant: "acme", Channel: "ops"}
	for n, by := range []string{"adam", "eve"} {
		who := c.adam
		if by == "eve" {
			who = c.eve
		}
		c.vote(who, d, decision.Glass, "the plant burns, says "+by, at)
		if told, err := c.store.WaitingNotices(t.Context(), lane, c.clock.Add(time.Minute)); err != nil || told != n+1 {
			t.Errorf("after %s there are %d messages: %v", by, told, err)
		}
		if n := strings.Count(c.log.String(), `level=ERROR msg="an admin breaks the glass" decision=`+d.ID); n == 0 {
			t.Errorf("the log does not say it:\n%s", c.log.String())
		}
		l, _, err := c.Incidents.List(t.Context(), c.adam, incident.Filter{Limit: 10})
		c.must(err)
		if len(l) != 1 || l[0].Kind != incident.BreakGlass || l[0].Count != n+1 || l[0].Intent != d.Intent || l[0].Run != d.Run || l[0].Connection != "erp-write" || l[0].Place != "Decision "+d.ID {
			t.Fatalf("after %s the incidents are %+v", by, l)
		}
		s, err := c.Incidents.Show(t.Context(), c.adam, l[0].ID)
		c.must(err)
		h := s.Story.Hypotheses
		if want := []string{"glass_begun", "glass_broken"}[n]; len(h) != 1 || h[0].Code != want || h[0].Sure != incident.Certain || len(h[0].Evidence) != n+1 ||
			!strings.Contains(h[0].Evidence[n].Says, by+" ("+who.String()+"), with password+totp: the plant burns, says "+by) || h[0].Evidence[n].Audit == nil {
			t.Errorf("after %s the story is %+v", by, s.Story)
		}
	}
	no, err := c.store.NextNotice(t.Context(), lane, c.clock.Add(time.Minute))
	if err != nil || no.Event != resource.EventBreakGlass || no.Run != d.Run || no.Decision != d.ID {
		t.Errorf("the message is %+v: %v", no, err)
	}
	l, _, err := c.Incidents.List(t.Context(), c.adam, incident.Filter{Limit: 10})
	c.must(err)
	if _, err := c.Incidents.Close(t.Context(), c.adam, l[0].ID, incident.Word{Outcome: incident.Rotated}, c.clock); err == nil {
		t.Error("what is about no Secret was closed as rotated")
	}
	if _, err := c.Incidents.Close(t.Context(), c.adam, l[0].ID, incident.Word{Outcome: incident.Explained, Note: "the plant did burn"}, c.clock); err != nil {
		t.Error(err)
	}
}
