package mcpgateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
)

const known, unknown = "canary-7f3a", "canary-7f3b" // a Secret's value, and a wrong guess at it

// Who sends guesses learns which is right from what comes back scrubbed. What is
// proposed is counted as an incident; what merely comes back never is.
func TestWhatAClientSaysComesBackAsItWasWhateverItIs(t *testing.T) {
	d := company()
	url := door(t, d)
	for name, ask := range map[string]func(guess string) answer{
		"the id of a request": func(guess string) answer {
			body, headers := request(`"`+guess+`"`, "tools/list", "{}", "")
			return send(t, t.Context(), url, "run-a", body, headers...)
		},
		"the id of a refused one": func(guess string) answer {
			body, headers := request(`"`+guess+`"`, "no/such", "{}", "")
			return send(t, t.Context(), url, "run-a", body, headers...)
		},
		"a resource": func(guess string) answer {
			return modern(t, url, "run-a", "resources/read", `{"uri":"sallyport://crm/`+guess+`"}`)
		},
		"a revision": func(guess string) answer {
			return send(t, t.Context(), url, "run-a", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "MCP-Protocol-Version", guess)
		},
		"a progress token": func(guess string) answer {
			body, headers := request("1", "tools/call", `{"name":"erp__create","arguments":`+create+`}`, "")
			return send(t, t.Context(), url, "run-a", strings.Replace(body, `"p1"`, `"`+guess+`"`, 1), headers...)
		},
		"a subscription": func(guess string) answer {
			body, headers := request(`"`+guess+`"`, "subscriptions/listen", `{"notifications":{}}`, "")
			return send(t, t.Context(), brief(t, d), "run-a", body, headers...)
		},
	} {
		right, wrong := whole(ask(known)), whole(ask(unknown))
		if strings.ReplaceAll(right, known, "GUESS") != strings.ReplaceAll(wrong, unknown, "GUESS") || !strings.Contains(right, known) {
			t.Errorf("%s: a right guess is answered\n%.500s\nand a wrong one\n%.500s", name, right, wrong)
		}
	}
	// And what is not the client's is scrubbed as ever.
	if a := callTool(t, url, "run-a", "crm__get", `{"id":"`+known+`"}`); strings.Contains(whole(a), known) {
		t.Errorf("the answer of a system: %s", whole(a))
	}
}

// brief is a door whose subscriptions are over at once.
func brief(t *testing.T, d *desk) string {
	times := quick
	times.Listen = time.Millisecond
	return serve(t, mcpgateway.New(config(d, times))).URL + "/mcp"
}

// whole is everything that came, but for times and ids of ours.
func whole(a answer) string {
	var b strings.Builder
	if len(a.events) > 1 {
		a.events = a.events[:1] // how many beats there are is up to the clock
	}
	for _, e := range a.events {
		id, _ := e.ID.(string)
		b.WriteString(id + " " + string(e.Params) + string(e.Result))
		if e.Error != nil {
			b.WriteString(e.Error.Message + string(e.Error.Data))
		}
	}
	return b.String()
}

// turning is a desk whose Worker's token is revoked, or whose store breaks, in mid-call.
type turning struct {
	*desk
	revoked, broken atomic.Bool
	admit           error
}

func (d *turning) Caller(ctx context.Context, bearer string) (ident.Principal, error) {
	if d.revoked.Load() {
		return ident.Principal{}, fault.New(fault.Unauthenticated, "the token is revoked")
	}
	return d.desk.Caller(ctx, bearer)
}

func (d *turning) Lookup(ctx context.Context, who ident.Principal, id string) (intent.Intent, error) {
	if d.broken.Load() {
		return intent.Intent{}, fault.New(fault.Denied, "the Run has ended")
	}
	return d.desk.Lookup(ctx, who, id)
}

func (d *turning) Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error) {
	if d.admit != nil {
		return intent.Intent{}, d.admit
	}
	return d.desk.Admit(ctx, who, p)
}

// turned is a door that holds for long, where act happens when a client was told for
// the first time that it waits.
func turned(t *testing.T, act func(d *turning, id string)) (*turning, string) {
	t.Helper()
	d := &turning{desk: company()}
	long := quick
	long.Hold, long.Listen = 20*time.Second, 20*time.Second
	c, told := config(d.desk, long), atomic.Bool{}
	c.Callers, c.Gate = d, d
	c.Waits = func(_ context.Context, it intent.Intent) string {
		if told.CompareAndSwap(false, true) {
			time.AfterFunc(20*time.Millisecond, func() { act(d, it.ID) })
		}
		return "approval by finance"
	}
	return d, serve(t, mcpgateway.New(c)).URL + "/mcp"
}

func TestARevokedTokenIsToldNothingOfWhatItWaitsFor(t *testing.T) {
	revoke := func(d *turning, id string) {
		d.revoked.Store(true)
		d.approve(id)
	}
	_, url := turned(t, revoke)
	if a := callTool(t, url, "run-a", "erp__create", create); strings.Contains(whole(a), "created") || a.field("structuredContent", "status") != "unknown" {
		t.Errorf("a held call: %+v", a.last())
	}
	d, url := turned(t, revoke)
	id, _ := callTool(t, door(t, d.desk), "run-a", "erp__create", create, withTasks).field("taskId").(string)
	a := modern(t, url, "run-a", "subscriptions/listen", `{"notifications":{"taskIds":["`+id+`"]}}`, withTasks)
	for _, e := range a.events {
		if strings.Contains(string(e.Params), "completed") {
			t.Errorf("a subscription: %s", e.Params)
		}
	}
}

// What was approved since the last look may have been sent.
func TestWhatCantBeLookedAtAnyMoreIsNotCalledNotExecuted(t *testing.T) {
	d, url := turned(t, func(d *turning, id string) {
		d.broken.Store(true)
		d.approve(id)
	})
	a := callTool(t, url, "run-a", "erp__create", create)
	if d.executed[`create{"name":"ACME"}`] != 1 || !strings.HasPrefix(a.text(), "STATUS UNKNOWN") || a.field("structuredContent", "executed") != nil {
		t.Errorf("executed %v, and the client is told %s", d.executed, a.last().Result)
	}
}

func TestAWriteWhoseOutcomeCouldNotBeRecordedIsNotCalledNotExecuted(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Unavailable, fault.Conflict} {
		d := &turning{desk: company(), admit: fault.New(kind, "the outcome of a call could not be recorded")}
		c := config(d.desk, quick)
		c.Gate = d
		url := serve(t, mcpgateway.New(c)).URL + "/mcp"
		a := callTool(t, url, "run-a", "erp__create", create)
		if !strings.HasPrefix(a.text(), "STATUS UNKNOWN") || a.field("structuredContent", "executed") != nil || a.status != http.StatusOK {
			t.Errorf("%s: %s", kind, a.last().Result)
		}
	}
}
