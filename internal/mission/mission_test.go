package mission_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mission"
)

func TestAMissionGoesFromItsGoalToAVerdict(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{{Text: "I look first.", ToolCalls: []model.ToolCall{find}}, calls(create), calls(finish)}
	for range 5 { // think, act, think, act, think
		w.turn(mission.Go)
	}
	w.turn(mission.Done)
	if w.ended[0] != "done" || w.ended[1] != "It is there." || !slices.Equal(w.observed, []string{"reasoning: I look first."}) {
		t.Errorf("it ended with %q after %q", w.ended, w.observed)
	}
	p := w.proposed[1]
	if p.Connection != "erp-write" || p.Tool != "create" || string(p.Args) != `{"name":"Siemens"}` || p.Reason != "it is new" || p.Repeat {
		t.Errorf("it proposed %+v", p)
	}
	first := w.asked[0].Messages
	if len(first) != 2 || first[0].Role != model.System || !strings.Contains(first[0].Content, "Do it.") || !strings.Contains(first[1].Content, `{"name":"Siemens"}`) {
		t.Errorf("the model was told %+v", first)
	}
	w.turn(mission.Done) // a turn that comes too late does nothing
	if len(w.asked) != 3 {
		t.Error("it was asked again")
	}
}

func TestTheModelIsOfferedTheToolsWithAReasonAndAnEnd(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{calls(finish)}
	w.turn(mission.Go)
	var names []string
	for _, tool := range w.asked[0].Tools {
		names = append(names, tool.Name)
		var s struct {
			Properties map[string]any
			Required   []string
		}
		w.must(json.Unmarshal(tool.Schema, &s))
		if tool.Name != "finish" && s.Properties["_reason"] == nil || slices.Contains(s.Required, "_reason") != (tool.Name == "erp-write__create") {
			t.Errorf("%s has %+v", tool.Name, s)
		}
	}
	if !slices.Equal(names, []string{"erp-read__find", "erp-write__create", "finish"}) {
		t.Errorf("offered are %v", names)
	}
}

// What the model makes up is proposed, so that the Boundary's refusal is on
// record, and the model is told.
func TestAToolThatWasNotOfferedIsLeftToTheBoundary(t *testing.T) {
	w := newWorld(t)
	w.decide = func(p intent.Proposal) (intent.State, error) {
		return "", fault.New(fault.Denied, "the Mission does not hold this tool").WithHint("only those that it lists")
	}
	w.says = []model.Response{calls(call("a", "vault__open", `{}`), call("b", "nothing", `{}`),
		model.ToolCall{ID: "c", Name: "unknown_tool", Args: json.RawMessage(`{}`), Problem: `there is no tool "x y"`})}
	w.turn(mission.Go)
	w.turn(mission.Go)
	if len(w.proposed) != 3 || w.proposed[0].Connection != "vault" || w.proposed[0].Tool != "open" || w.proposed[1].Connection != "nothing" || w.proposed[2].Connection != "unknown_tool" {
		t.Errorf("it proposed %+v", w.proposed)
	}
	for id, a := range w.answers() {
		if !strings.Contains(a, `"DENIED"`) || !strings.Contains(a, "only those that it lists") {
			t.Errorf("%s is answered %s", id, a)
		}
	}
}

func TestArgumentsThatMakeNoSenseAreAnsweredAndNotProposed(t *testing.T) {
	w := newWorld(t)
	bad := []model.ToolCall{
		{ID: "p", Name: "erp-write__create", Args: json.RawMessage(`{}`), Problem: "the arguments are not a JSON object"},
		call("r", "erp-write__create", `{"name":"x","_reason":7}`), call("l", "erp-write__create", `[]`), call("t", "erp-write__create", `"{}"`),
	}
	w.says = []model.Response{calls(bad...)}
	w.turn(mission.Go)
	w.turn(mission.Go)
	if len(w.proposed) != 0 || len(w.answers()) != len(bad) {
		t.Errorf("it proposed %+v and answered %v", w.proposed, w.answers())
	}
	// Half of an object can't be in a transcript; a Boundary elsewhere might let
	// a key through twice.
	w.msgs[len(w.msgs)-len(bad)-1] = json.RawMessage(`{"role":"assistant","content":"","tool_calls":[{"id":"k","name":"erp-write__create","args":{"name":"a","name":"b"}}]}`)
	w.msgs = w.msgs[:len(w.msgs)-len(bad)]
	w.turn(mission.Go)
	if len(w.proposed) != 0 || !strings.Contains(w.answers()["k"], "twice") {
		t.Errorf("it proposed %+v and answered %v", w.proposed, w.answers())
	}
}

func TestEveryCallFindsItsOwnResult(t *testing.T) {
	for name, ids := range map[string][]string{
		"none":                    {"", "", ""},
		"the same three times":    {"x", "x", "x"},
		"one that we would give":  {"", "call_0", ""},
		"one that we would give2": {"call_1", "call_1", "call_2"},
		"all of them taken":       {"call_2", "call_1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var c []model.ToolCall
			for i, id := range ids {
				c = append(c, call(id, "erp-read__find", `{"name":"`+string(rune('a'+i))+`"}`))
			}
			w.says = []model.Response{calls(c...), calls(finish)}
			w.turn(mission.Go)
			w.turn(mission.Go)
			if len(w.proposed) != 3 || len(w.answers()) != 3 || len(w.byKey) != 3 {
				t.Errorf("%d proposals, %d results", len(w.proposed), len(w.answers()))
			}
			w.turn(mission.Go) // the model's next
			w.turn(mission.Done)
		})
	}
}

func TestWhatStandsBeforeTheEndIsDoneAndWhatStandsBehindIsNot(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{calls(find, finish, create)}
	w.turn(mission.Go)
	w.turn(mission.Done)
	if len(w.proposed) != 1 || w.proposed[0].Tool != "find" || w.ended[0] != "done" {
		t.Errorf("%+v, %v", w.proposed, w.ended)
	}
}

// Ending at once would withdraw what a person is asked about.
func TestTheEndWaitsForWhatIsStillOpen(t *testing.T) {
	w := newWorld(t)
	w.decide = func(intent.Proposal) (intent.State, error) { return intent.Parked, nil }
	w.says = []model.Response{calls(create, finish)}
	w.turn(mission.Go)
	w.turn(mission.Parked)
	if len(w.ended) != 0 {
		t.Fatalf("it ended with %v", w.ended)
	}
	w.byKey[w.proposed[0].Key].State = intent.Committed
	w.turn(mission.Done)
	if w.ended[0] != "done" {
		t.Errorf("it ended with %v", w.ended)
	}
}

func TestAnEndIsTakenAsItComes(t *testing.T) {
	long := strings.Repeat("€", 5000)
	for args, want := range map[string][2]string{
		`{}`:             {"ended", ""},
		`{"verdict":7}`:  {"ended", ""},
		`{"verdict":""}`: {"ended", ""},
		`{"verdict":"` + long + `","summary":"` + long + `"}`: {strings.Repeat("€", 13), strings.Repeat("€", 1365)},
	} {
		w := newWorld(t)
		w.says = []model.Response{calls(call("a", "finish", args))}
		w.turn(mission.Go)
		w.turn(mission.Done)
		if w.ended[0] != want[0] || w.ended[1] != want[1] {
			t.Errorf("%.40s: %q", args, w.ended)
		}
	}
}

// One waits for a person, the other is done; the next segment goes on from there.
func TestWhatWaitsIsPickedUpByTheNextSegment(t *testing.T) {
	w := newWorld(t)
	w.decide = func(p intent.Proposal) (intent.State, error) {
		if p.Tool == "create" {
			return intent.Parked, nil
		}
		return intent.Committed, nil
	}
	w.says = []model.Response{calls(create, find), calls(finish)}
	w.turn(mission.Go)
	w.turn(mission.Parked)
	if len(w.answers()) != 1 || w.waits != 1 {
		t.Fatalf("answered are %v, it waited %d times", w.answers(), w.waits)
	}
	w.restart()
	w.turn(mission.Parked) // woken for nothing
	key := w.proposed[0].Key
	w.byKey[key].State, w.byKey[key].Why = intent.Rejected, "an approver rejected it: not yet"
	w.turn(mission.Go)
	if a := w.answers()["b"]; !strings.Contains(a, "REJECTED") || !strings.Contains(a, "not yet") || len(w.byKey) != 2 {
		t.Errorf("it is answered %s", a)
	}
	w.turn(mission.Go)
	w.turn(mission.Done)
}

// Two wait. One is decided while the turn still looks at the other: the Run must
// not wait for that one with the first one's result in hand.
func TestADecisionInMidTurnIsNotMissed(t *testing.T) {
	w := newWorld(t)
	other := call("b2", "erp-write__create", `{"name":"Bosch","_reason":"new too"}`)
	w.decide = func(intent.Proposal) (intent.State, error) {
		for _, it := range w.byKey {
			it.State = intent.Committed // the first, as the second is proposed
		}
		return intent.Parked, nil
	}
	w.says = []model.Response{calls(create, other)}
	w.turn(mission.Go)
	w.turn(mission.Go)
	if w.waits != 0 {
		t.Error("it waits")
	}
	w.turn(mission.Parked)
	if len(w.answers()) != 1 || !strings.Contains(w.answers()["b"], "COMMITTED") {
		t.Errorf("answered are %v", w.answers())
	}
}

// The process dies at any of its writes. What was proposed is not proposed as
// something new, and in the end the transcript is the one of an undisturbed Run.
func TestACrashAnywhereLosesAndRepeatsNothing(t *testing.T) {
	play := func(t *testing.T, method string) *world {
		w := newWorld(t)
		w.says = []model.Response{{Text: "I look.", ToolCalls: []model.ToolCall{find, create}}, calls(finish)}
		if method != "" {
			w.failing[method] = errDown
		}
		for range 12 {
			next, err := w.Turn(t.Context(), "acme", w.run.ID)
			if err != nil {
				w.restart()
				continue
			}
			if next == mission.Done {
				return w
			}
		}
		t.Fatal("it did not end")
		return w
	}
	calm := play(t, "")
	for _, method := range []string{"Run", "Brief", "Transcript", "AppendTranscript", "complete", "Observe", "EndRun", "Admit find", "Admit create", "after find", "after create"} {
		t.Run(method, func(t *testing.T) {
			w := play(t, method)
			if len(w.failing) > 0 {
				t.Fatal("nothing failed")
			}
			if len(w.byKey) != 2 || w.ended[0] != "done" {
				t.Errorf("%d Intents, and it ended with %v", len(w.byKey), w.ended)
			}
			for k := range calm.byKey {
				if w.byKey[k] == nil {
					t.Errorf("the key %s is another", k)
				}
			}
			if !slices.EqualFunc(w.msgs, calm.msgs, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Errorf("the transcript is %s", w.msgs)
			}
		})
	}
}

// The model acted, its result was stored, and the process died before it was
// written down: the same key gives the same Intent.
func TestTheSameTurnAfterACrashHasTheSameKey(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{calls(create)}
	w.turn(mission.Go)
	w.failing["AppendTranscript"] = errDown
	w.failedTurn()
	w.restart()
	w.turn(mission.Go)
	if len(w.proposed) != 2 || w.proposed[0].Key == "" || w.proposed[0].Key != w.proposed[1].Key || len(w.byKey) != 1 {
		t.Errorf("it proposed %+v", w.proposed)
	}
}

func TestTwoTurnsHaveTwoKeys(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{calls(create), calls(create)}
	for range 4 {
		w.turn(mission.Go)
	}
	if len(w.byKey) != 2 {
		t.Errorf("it proposed %+v", w.proposed)
	}
}

func TestAModelThatOnlyTalksIsReminded(t *testing.T) {
	w := newWorld(t)
	w.says = []model.Response{text("Hm."), calls(find), text("Well."), text("So."), text("Then."), calls(create)}
	w.turn(mission.Go)
	if m := w.messages(); m[len(m)-1].Role != model.User || !strings.Contains(m[len(m)-1].Content, "finish") {
		t.Errorf("it was told %+v", m[len(m)-1])
	}
	for range 5 { // acting starts the count again
		w.turn(mission.Go)
	}
	w.turn(mission.Done)
	if w.ended[0] != "ended" || len(w.says) != 1 || len(w.asked) != 5 {
		t.Errorf("it ended with %q after %d answers", w.ended, len(w.asked))
	}
}

func TestWhatNoRetryMendsEndsTheRun(t *testing.T) {
	for _, method := range []string{"Brief", "complete"} {
		for kind, verdict := range map[fault.Kind]string{fault.Limit: "limit", fault.Denied: "failed", fault.Invalid: "failed", fault.NotFound: "failed"} {
			w := newWorld(t)
			w.failing[method] = fault.New(kind, "because of this")
			w.turn(mission.Done)
			if w.ended[0] != verdict || w.ended[1] != "because of this" {
				t.Errorf("%s %s: %q", method, kind, w.ended)
			}
		}
		for _, err := range []error{errDown, fault.New(fault.Conflict, "x"), errors.New("x")} {
			w := newWorld(t)
			w.failing[method] = err
			w.failedTurn()
		}
	}
}

func TestAnAnswerOfTheModelThatCannotBeUsedIsAnotherTry(t *testing.T) {
	w := newWorld(t)
	w.failedTurn()
	if len(w.msgs) != 2 {
		t.Errorf("the transcript is %s", w.msgs)
	}
}

// However long the cause: a Run that is given up ends.
func TestARunThatIsGivenUpEnds(t *testing.T) {
	w := newWorld(t)
	w.must(w.GiveUp(t.Context(), "acme", "run_1", fault.New(fault.Invalid, strings.Repeat("again, ", 5000))))
	if w.ended[0] != "failed" || !strings.HasPrefix(w.ended[1], "given up after several tries: again, ") {
		t.Errorf("it ended with %.60q", w.ended)
	}
	w.must(w.GiveUp(t.Context(), "acme", "run_1", errors.New("x"))) // it has ended already
	w = newWorld(t)
	w.failing["EndRun"] = errDown
	if err := w.GiveUp(t.Context(), "acme", "run_1", errors.New("x")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it said %v", err)
	}
}

// What a Run needs does not answer: it rests, longer each time, and is given up
// after half a day.
func TestARunRestsWhenSomethingDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	var all time.Duration
	for w.ended == nil {
		w.run.State = intent.RunRunning
		w.must(w.GiveUp(t.Context(), "acme", "run_1", errDown))
	}
	for i, d := range w.rests {
		if all += d; d < time.Minute || d > 30*time.Minute || i > 0 && d < w.rests[i-1] {
			t.Errorf("it rests for %v", w.rests)
		}
	}
	if all < 11*time.Hour || all > 14*time.Hour || w.ended[0] != "failed" || len(w.observed) != len(w.rests)-1 {
		t.Errorf("it rested for %v in all, and ended with %q", all, w.ended)
	}
	w = newWorld(t)
	w.run.State = intent.RunWaiting
	w.must(w.GiveUp(t.Context(), "acme", "run_1", errDown)) // it waits for something else
	w = newWorld(t)
	w.failing["Rest"] = errDown
	if err := w.GiveUp(t.Context(), "acme", "run_1", errDown); !fault.Is(err, fault.Unavailable) || w.ended != nil {
		t.Errorf("it said %v", err)
	}
}

func TestATranscriptThatCannotBeReadIsNotGuessed(t *testing.T) {
	w := newWorld(t)
	w.msgs = []json.RawMessage{json.RawMessage(`{"role":`)}
	w.failedTurn()
	if len(w.asked) != 0 || len(w.msgs) != 1 {
		t.Error("it went on")
	}
}

// A token that was met before anybody knew it is in the transcript; when it has
// become known the Run goes on without it, and a proposal with it is still the
// model's own words, for the Boundary to stop.
func TestWhatHasBecomeASecretIsNotToldToTheModelAgain(t *testing.T) {
	w := newWorld(t)
	const token = "glpat-Zx81kQ0vT5mBn2WcY7ra"
	again := call("c", "erp-read__find", `{"name":"`+token+`"}`)
	w.says = []model.Response{{Text: "I use " + token, ToolCalls: []model.ToolCall{again}}, calls(finish)}
	w.turn(mission.Go)
	w.secret = token
	w.turn(mission.Go) // acts
	w.turn(mission.Go) // thinks
	if string(w.proposed[0].Args) != `{"name":"`+token+`"}` {
		t.Errorf("it proposed %s", w.proposed[0].Args)
	}
	told, err := json.Marshal(w.asked[1])
	w.must(err)
	if strings.Contains(string(told), token) || strings.Count(string(told), "[secret:x]") < 2 {
		t.Errorf("the model was told %s", told)
	}
}
