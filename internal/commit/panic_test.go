package commit_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
)

var canary = leaktest.Mint("commit", "in a panic", "token")

// A panic ends the attempt in the state that is true, and halts everything only
// where the outcome can't be recorded. Nothing shows what it was given.
func TestAnAttemptThatPanicsEndsInTheStateThatIsTrue(t *testing.T) {
	const failed, unknown, committed = intent.Failed, intent.Unknown, intent.Committed
	for name, c := range map[string]struct {
		spoil func(*commit.Plan)
		write intent.State // "": it is halted
		read  intent.State
	}{
		"before the claim": {func(p *commit.Plan) {
			p.Recheck = func(context.Context) (audit.Event, error) { panic(canary.Value) }
		}, "panics", committed},
		"in the vault": {func(p *commit.Plan) {
			p.Open = func(context.Context) (http.RoundTripper, error) { panic(canary) }
		}, failed, failed},
		"in the connector": {func(p *commit.Plan) {
			p.Send = func(context.Context, http.RoundTripper) connector.Answer { panic(fmt.Errorf("with %s", canary.Value)) }
		}, unknown, failed},
		"in the reading of the answer": {func(p *commit.Plan) {
			p.Clean = func(connector.Answer) intent.Result { panic([]byte(canary.Value)) }
		}, committed, committed},
		"in the reason": {func(p *commit.Plan) {
			p.Why = func(connector.Answer) string { panic(canary.Value) }
		}, committed, committed},
		"in the audit entry": {func(p *commit.Plan) {
			p.Outcome = func(intent.State, intent.Result, connector.Answer) audit.Event { panic(canary.Value) }
		}, "", ""},
		"in the Observation": {func(p *commit.Plan) {
			p.Observe = func(intent.State, intent.Result) explain.Observation { panic(canary.Value) }
		}, "", ""},
		"in what follows": {func(p *commit.Plan) {
			p.Follow = func(intent.State, time.Time) []commit.Message { panic(canary.Value) }
		}, "", ""},
	} {
		for i, d := range []do{write(), read()} {
			want := []intent.State{c.write, c.read}[i]
			t.Run(fmt.Sprintf("%s, %s", name, d.effect), func(t *testing.T) {
				w := newWorld(t)
				p := w.plan(d)
				c.spoil(&p)
				if want == "panics" { // nothing was begun: it is the caller's
					defer func() {
						if recover() == nil || len(w.steps) != 0 || w.Halted() != nil {
							t.Errorf("%v, %v", w.steps, w.Halted())
						}
					}()
				}
				it, err := w.Execute(t.Context(), p)
				if got := w.Halted() != nil; got != (want == "") || got != (err != nil) {
					t.Fatalf("halted: %v, %v", w.Halted(), err)
				}
				if want != "" && it.State != want {
					t.Errorf("it is %s", it.State)
				}
				shown := fmt.Sprintf("%+v %+v %v %s", it, it.Result, err, w.log.String())
				if way := leaktest.Leaks(shown, canary.Value); way != "" {
					t.Errorf("the value is shown, %s: %s", way, shown)
				}
				if called := !(name == "before the claim"); called && strings.Count(w.log.String(), "the program has a fault") != 1 {
					t.Errorf("the log has %s", w.log.String())
				}
			})
		}
	}
}
