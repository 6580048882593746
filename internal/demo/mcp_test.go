package demo_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/sqlite"
)

func overMCP(c *demo.Config) { c.Tickets = company.OverMCP }

// The same Mission, with the ticketing system as an MCP server under a credential of
// its own.
func TestASupplierIsOnboardedWithTheTicketOverMCP(t *testing.T) {
	w := start(t, overMCP)
	run := w.run("onboarded")
	w.must(w.decide("approver", w.waiting(run), "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	s := w.stats("ticketing")
	if s.Durable["tickets"] != 1 || s.Credentials["ticketing-mcp-token"].Requests == 0 || s.Credentials["ticketing-login"].Requests != 0 {
		t.Errorf("the ticketing system counts %+v", s)
	}
}

// A write over MCP whose answer was lost is looked up by its reference, and not sent
// again.
func TestATicketWhoseAnswerWasLostOverMCPIsFoundAgain(t *testing.T) {
	w := start(t, overMCP)
	run := w.run("onboarded")
	it := w.waiting(run)
	w.behave("ticketing", system.Behaviour{Mode: system.Drop, Contains: `"createTicket"`})
	w.must(w.decide("approver", it, "approve"))
	w.eventually("the ticket is filed", func() bool { return w.stats("ticketing").Durable["tickets"] == 1 })
	w.behave("ticketing", system.Behaviour{})
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("ticketing"); s.Durable["tickets"] != 1 {
		t.Errorf("the ticketing system counts %+v", s)
	}
}

// The ticketing system repeats all that it received, over MCP too, in every encoding.
func TestATicketOverMCPBringsNoCredentialBack(t *testing.T) {
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	w := start(t, func(c *demo.Config) {
		overMCP(c)
		c.LogHandler = slog.NewTextHandler(s.at("logs"), &slog.HandlerOptions{Level: slog.LevelDebug})
	})
	_, wanted := credentials(w)
	w.behave("ticketing", system.Behaviour{Mode: system.Echo})
	run, marked := w.run("onboarded"), false
	w.must(w.decide("approver", w.waiting(run), "approve"))
	w.ended(run)
	w.crawl(s, []string{run})
	for _, it := range w.intents(run) {
		marked = marked || it.Result != nil && it.Connection == "tickets" && bytes.Contains(it.Result.Body, []byte("[secret:ticketing-mcp-token]"))
	}
	if !marked {
		t.Errorf("the echo, or the scrubbing, did not happen:\n%s", w.rail(run))
	}
	s.rows(t, filepath.Join(demo.ServerDir(w.dir), sqlite.File))
	s.clean(t, wanted, "logs", "answers of the API", "table "+sqlite.File+" intent", "table "+sqlite.File+" observation")
}
