// Package mission is the built-in AI Worker's loop: read the transcript, ask the
// model, propose what it wants, hand back what came of it, until it gives its
// verdict. It runs in segments: a segment ends when the Run is done or when
// everything open waits for a person, and the Decision starts the next one.
//
// It refuses to know a secret: it reaches systems, and the model too, through a
// Boundary that it declares itself, and gets only what was scrubbed. It refuses
// to act on a model's word alone: what the model writes becomes a proposal, and
// the Boundary decides.
//
// # Security
//
// The model is untrusted, and so is what systems answer: both can hold
// instructions from an attacker. Nothing here gives them more than the Tools of
// the Mission. The transcript is the truth; a step that is repeated after a crash
// proposes with the same keys and gets the same Intents.
package mission

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Boundary is the execution plane as a Worker sees it, in this process or in
// another.
type Boundary interface {
	Brief(ctx context.Context, who ident.Principal) (intent.Brief, error)
	Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error)
	Observe(ctx context.Context, who ident.Principal, kind explain.Kind, title, text string) error
	EndRun(ctx context.Context, who ident.Principal, verdict, summary string) error
}

// Store keeps the transcript and says when a Run waits.
type Store interface {
	Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error)
	Transcript(ctx context.Context, tenant ident.Tenant, run string) ([]json.RawMessage, error)
	AppendTranscript(ctx context.Context, tenant ident.Tenant, run string, n int, msgs []json.RawMessage, at time.Time) error
	// Wait marks the Run as waiting for the Intents in open; a Conflict when one
	// of them is final by now, so that there is something to go on with.
	Wait(ctx context.Context, tenant ident.Tenant, run string, open []string) error
	// Rest makes the Run wait until a time; n counts the rests in a row.
	Rest(ctx context.Context, tenant ident.Tenant, run string, until func(n int) time.Time) (n int, err error)
}

// Loop is the built-in Worker. Its methods are safe for concurrent use on
// different Runs.
type Loop struct {
	boundary Boundary
	store    Store
	clean    Clean
	now      func() time.Time
	log      *slog.Logger
}

// Clean takes the secrets of a tenant out of a text that was written before they
// were known.
type Clean func(t ident.Tenant, text string) string

// New makes a loop.
func New(b Boundary, s Store, clean Clean, now func() time.Time, log *slog.Logger) *Loop {
	return &Loop{boundary: b, store: s, clean: clean, now: now, log: log}
}

// Next says how a turn ended.
type Next string

// The ways.
const (
	Go     Next = "go"     // there is more to do now
	Parked Next = "parked" // everything open waits; a later segment goes on
	Done   Next = "done"   // the Run has ended
)

// maxVerdict is what the Boundary takes, in bytes. A Run whose end is refused
// would never end.
const maxVerdict = 40

// maxNudges is how often a model that neither acts nor ends is reminded.
const maxNudges = 2

// Turn does one turn of a Run. An error is worth another try; after enough of
// them the caller ends the segment with [Loop.GiveUp]. What can't be mended by a
// retry ends the Run with a verdict instead.
//
// What a person has stopped is no failure: the Run rests, and is not counted as
// one that goes nowhere.
func (l *Loop) Turn(ctx context.Context, tenant ident.Tenant, run string) (Next, error) {
	next, err := l.turn(ctx, tenant, run)
	if _, stopped := errors.AsType[*intent.Stopped](err); !stopped {
		return next, err
	}
	return Parked, l.pause(ctx, tenant, run)
}

// pause makes the Run wait until the stop is lifted, which makes it due; that it
// is looked at before is for a stop that was lifted in an unseen moment.
func (l *Loop) pause(ctx context.Context, tenant ident.Tenant, run string) error {
	_, err := l.store.Rest(ctx, tenant, run, func(int) time.Time { return l.now().Add(restStopped) })
	if fault.Is(err, fault.Conflict) {
		return nil // it has ended, or waits for something else
	}
	return err
}

func (l *Loop) turn(ctx context.Context, tenant ident.Tenant, run string) (Next, error) {
	r, err := l.store.Run(ctx, tenant, run)
	if err != nil {
		return "", err
	}
	if r.State == intent.RunEnded {
		return Done, nil
	}
	who := ident.Principal{Tenant: tenant, Kind: ident.Run, ID: run}
	brief, err := l.boundary.Brief(ctx, who)
	if err != nil {
		return l.failed(ctx, who, err)
	}
	t, err := l.load(ctx, brief)
	if err != nil {
		return "", err
	}
	if calls := t.open(); len(calls) > 0 {
		return l.act(ctx, who, t, calls)
	}
	if t.idle() > maxNudges {
		return l.end(ctx, who, "ended", "the model neither acted nor gave a verdict")
	}
	return l.think(ctx, who, t)
}

// think asks the model for its next message.
func (l *Loop) think(ctx context.Context, who ident.Principal, t *transcript) (Next, error) {
	args, err := json.Marshal(t.request())
	if err != nil {
		return "", fault.Wrap(fault.Internal, "encoding the completion", err)
	}
	it, err := l.boundary.Admit(ctx, who, intent.Proposal{Connection: t.brief.Model, Tool: model.Complete, Args: args})
	if err != nil {
		return l.failed(ctx, who, err)
	}
	if it.State != intent.Committed || it.Result == nil {
		return "", unusable(it)
	}
	var res model.Response
	if err := json.Unmarshal(it.Result.Body, &res); err != nil {
		return "", fault.New(fault.Invalid, "the model's answer can't be read")
	}
	if err := t.append(ctx, assistant(res)); err != nil {
		return "", err
	}
	if res.Text != "" {
		if err := l.boundary.Observe(ctx, who, explain.Reasoning, "", res.Text); err != nil {
			return "", err
		}
	}
	if len(res.ToolCalls) == 0 {
		return Go, t.append(ctx, nudge())
	}
	return Go, nil
}

// unusable says why a completion is of no use. A model that can't be reached, or
// says that it is overloaded or broken, may be well later; one that answers
// something else will hardly be.
func unusable(it intent.Intent) error {
	kind := fault.Unavailable
	if r := it.Result; r != nil && r.Status != 0 && r.Status < 500 && r.Status != 408 && r.Status != 429 {
		kind = fault.Invalid
	}
	return fault.Newf(kind, "the model gave no usable answer: %s", it.Why)
}

// act proposes what the model asked for and hands back what came of it.
func (l *Loop) act(ctx context.Context, who ident.Principal, t *transcript, calls []call) (Next, error) {
	var waiting []string
	var last *call
	for _, c := range calls {
		if c.Name == finishTool {
			last = &c // what comes after it is not wanted any more
			break
		}
		answer, open, err := l.propose(ctx, who, t, c)
		if err != nil {
			return "", err
		}
		if open != "" {
			waiting = append(waiting, open)
			continue
		}
		if err := t.append(ctx, answer); err != nil {
			return "", err
		}
	}
	switch {
	case len(waiting) == 0 && last != nil:
		verdict, summary := last.verdict()
		return l.end(ctx, who, verdict, summary)
	case len(waiting) == 0:
		return Go, nil
	}
	// The end, too, waits for what is still open: ending now would withdraw it.
	err := l.store.Wait(ctx, who.Tenant, who.ID, waiting)
	if fault.Is(err, fault.Conflict) {
		return Go, nil // decided in the meantime
	}
	return Parked, err
}

// propose makes one proposal; open is the Intent, where it still waits. Its key is
// its place in the transcript, so that the same turn after a crash, or the next
// segment, gets the same Intent.
func (l *Loop) propose(ctx context.Context, who ident.Principal, t *transcript, c call) (answer model.Message, open string, err error) {
	tool, ok := t.tool(c.Name)
	if ok && c.Problem != "" {
		return c.answer(refusal(c.Problem, "send the tool's arguments as a JSON object")), "", nil
	}
	if !ok {
		// What is not offered is proposed all the same: the Boundary refuses it,
		// and its refusal is on the record.
		tool.Connection, tool.Tool, _ = strings.Cut(c.Name, "__")
	}
	args, reason, err := splitReason(c.Args)
	if err != nil {
		return c.answer(refusal(err.Error(), fault.HintOf(err))), "", nil
	}
	it, err := l.boundary.Admit(ctx, who, intent.Proposal{
		Connection: tool.Connection, Tool: tool.Tool, Args: args, Reason: reason, Key: c.key,
	})
	switch fault.KindOf(err) {
	case "":
	case fault.Unavailable, fault.Internal:
		return answer, "", err
	default:
		return c.answer(refusal(err.Error(), fault.HintOf(err))), "", nil
	}
	if it.State.Open() {
		return answer, it.ID, nil
	}
	return c.answer(outcome(it)), "", nil
}

// failed sorts an error of the Boundary: a limit or a refusal ends the Run, the
// rest is worth another try.
func (l *Loop) failed(ctx context.Context, who ident.Principal, err error) (Next, error) {
	switch {
	case fault.Is(err, fault.Limit):
		return l.end(ctx, who, "limit", err.Error())
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Invalid), fault.Is(err, fault.NotFound):
		return l.end(ctx, who, "failed", err.Error())
	}
	return "", err
}

// How long a Run waits for something that does not answer: a minute at first,
// half an hour at most, and about half a day in all before it is given up.
const (
	restFirst   = time.Minute
	restCeiling = 30 * time.Minute
	maxRests    = 28
	restStopped = 5 * time.Minute // while a person has stopped it: as long as that lasts
)

// GiveUp ends a turn that has failed too often. When what it needs does not
// answer, the Run rests and goes on later; anything else ends it. An error means
// that neither could be recorded.
func (l *Loop) GiveUp(ctx context.Context, tenant ident.Tenant, run string, cause error) error {
	l.log.WarnContext(ctx, "a turn failed too often", slog.Any("tenant", tenant), slog.String("run", run), slog.Any("kind", fault.KindOf(cause)))
	who := ident.Principal{Tenant: tenant, Kind: ident.Run, ID: run}
	if !fault.Is(cause, fault.Unavailable) {
		_, err := l.end(ctx, who, "failed", "given up after several tries: "+cause.Error())
		return err
	}
	n, err := l.store.Rest(ctx, tenant, run, func(n int) time.Time {
		return l.now().Add(min(restFirst<<min(n-1, 10), restCeiling))
	})
	switch {
	case fault.Is(err, fault.Conflict):
		return nil // it has ended, or waits for something else
	case err != nil:
		return err
	case n > maxRests:
		_, err := l.end(ctx, who, "failed", "given up after half a day: "+cause.Error())
		return err
	}
	return l.boundary.Observe(ctx, who, explain.Check, "something that I need does not answer; I go on later", cause.Error())
}

func (l *Loop) end(ctx context.Context, who ident.Principal, verdict, summary string) (Next, error) {
	err := l.boundary.EndRun(ctx, who, cut(verdict, maxVerdict), cut(summary, intent.MaxReason))
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.Denied) {
		return Done, nil // it has ended already
	}
	return Done, err
}
