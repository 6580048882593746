package demo_test

import (
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/demo"
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
