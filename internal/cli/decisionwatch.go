package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
)

func (p *program) decisionWatch() *cobra.Command {
	var mine bool
	var long time.Duration
	c := verb("watch [--mine] [--for DURATION]", "Print what happens in the Decision Queue as it happens, until Ctrl-C",
		"  sallyport decision watch --mine\n  sallyport decision watch --json | jq -r 'select(.event == \"opened\") | .decision'", takes(0),
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if long > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, long)
				defer cancel()
			}
			return p.watchQueue(ctx, mine)
		})
	c.Flags().BoolVar(&mine, "mine", false, "of your Teams")
	c.Flags().DurationVar(&long, "for", 0, "end after so long")
	return c
}

// How long a watch waits before it connects again, doubling to the longest.
const (
	watchAgain    = time.Second
	watchLongest  = 30 * time.Second
	watchGiveUpOn = 4 // the class of statuses that another try does not help
)

// watchQueue prints events, and connects again where the stream ends. What waits
// when it begins is listed first.
func (p *program) watchQueue(ctx context.Context, mine bool) error {
	c, err := p.signedIn()
	if err != nil {
		return err
	}
	own := ""
	if mine {
		own = "true"
	}
	last, wait, lost := "", watchAgain, false
	for {
		if lost && p.reachable(ctx) {
			p.say("connected again")
			lost = false
		}
		err := c.Events(ctx, query("/v1/decisions/events", "mine", own), last, func(e client.Event) error {
			wait = watchAgain
			if e.ID != "" {
				last = e.ID
			}
			return p.queueEvent(ctx, e, own)
		})
		var no *client.Problem
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how watching ends
		case errors.As(err, &no) && no.Status/100 == watchGiveUpOn && no.Status != 429:
			return err
		case err == nil:
			continue // the server ends a stream now and then, to see who watches
		}
		lost = true
		p.say("not connected: %s; trying again", visible(err.Error()))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, watchLongest)
	}
}

// reachable says whether the server answers again: a stream on which nothing happens
// would not show it.
func (p *program) reachable(ctx context.Context) bool {
	_, err := p.call(ctx, "GET", "/healthz", nil, nil)
	return err == nil
}

// queueEvent prints one; with the first of a stream, what waits already.
func (p *program) queueEvent(ctx context.Context, e client.Event, own string) error {
	var q api.QueueEvent
	if err := json.Unmarshal(e.Data, &q); err != nil {
		return fault.New(fault.Internal, "the server's stream can't be read")
	}
	if q.Event != "ready" && q.Event != "reset" {
		return p.queueLine(e.Data, q)
	}
	if p.json {
		if err := p.raw(e.Data); err != nil {
			return err
		}
	}
	n := 0
	for after := ""; ; {
		var out api.Queue
		if _, err := p.call(ctx, "GET", query("/v1/decisions", "mine", own, "after", after), nil, &out); err != nil {
			return err
		}
		for _, it := range out.Items {
			d := it.Decision
			after = d.ID
			if d.Refused != "" {
				p.say("%s is refused: %s", d.ID, visible(d.Refused))
				continue
			}
			w := api.QueueEvent{Event: "waiting", Decision: d.ID, State: d.State, Mission: d.Mission, Run: d.Run, Connection: it.Intent.Connection, Tool: it.Intent.Tool,
				Effect: it.Intent.Effect, Missing: d.Missing(), Held: it.Held != nil, At: d.CreatedAt, ExpiresAt: d.ExpiresAt}
			b, err := json.Marshal(w)
			if err != nil {
				return err
			}
			if err := p.queueLine(b, w); err != nil {
				return err
			}
		}
		if n += len(out.Items); len(out.Items) == 0 {
			if n == 0 {
				p.say("nothing waits; what happens is printed as it happens")
			}
			return nil
		}
	}
}

// happened is what is said of an event besides how the Decision then is.
var happened = map[string]string{"edited": "the action was changed", "vote": "a vote", "break-glass": "AN ADMIN BREAKS THE GLASS", "question": "a question",
	"answer": "an answer", "held": "it is held now"}

func (p *program) queueLine(raw []byte, q api.QueueEvent) error {
	if p.json {
		return p.raw(raw)
	}
	says := string(q.State)
	if q.State == decision.Open {
		says = "needs " + decision.Says(q.Missing) + ", until " + when(q.ExpiresAt)
	}
	if what := happened[q.What]; what != "" {
		says = what + "; " + says
	}
	if q.Held {
		says += ", " + decision.HeldText
	}
	colour := map[string]string{"opened": yellow, "waiting": yellow, "closed": dim}[q.Event]
	event := fmt.Sprintf("%-8s", q.Event)
	if colour != "" {
		event = paint(p.outColour, colour, event)
	}
	_, err := fmt.Fprintf(p.out, "%s  %s  %s  %s  %s\n", q.At.UTC().Format("15:04:05 MST"), event, visible(q.Decision),
		visible(strings.Trim(q.Connection+"/"+q.Tool, "/")), visible(says))
	return err
}
