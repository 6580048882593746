package intent_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/intent"
)

// The documented diagram, as from → to.
const diagram = `
PROPOSED    → DENIED PARKED APPROVED CLAIMED
PARKED      → APPROVED REJECTED EXPIRED WITHDRAWN DENIED NEEDS_HUMAN
APPROVED    → CLAIMED PARKED DENIED FAILED EXPIRED WITHDRAWN NEEDS_HUMAN
CLAIMED     → CLAIMED SENDING FAILED COMMITTED NEEDS_HUMAN
SENDING     → COMMITTED FAILED UNKNOWN NEEDS_HUMAN
UNKNOWN     → SENDING COMMITTED NOT_APPLIED NEEDS_HUMAN
NEEDS_HUMAN → COMMITTED NOT_APPLIED PARKED
DENIED      →
REJECTED    →
EXPIRED     →
WITHDRAWN   →
COMMITTED   →
FAILED      →
NOT_APPLIED →
`

func drawn(t *testing.T) map[intent.State][]intent.State {
	t.Helper()
	out := map[intent.State][]intent.State{}
	for line := range strings.Lines(strings.TrimSpace(diagram)) {
		from, to, ok := strings.Cut(line, "→")
		if !ok {
			t.Fatalf("the diagram has the line %q", line)
		}
		s := intent.State(strings.TrimSpace(from))
		out[s] = []intent.State{}
		for f := range strings.FieldsSeq(to) {
			out[s] = append(out[s], intent.State(f))
		}
	}
	return out
}

func TestStepsAreThoseOfTheDiagram(t *testing.T) {
	d := drawn(t)
	if len(d) != len(intent.States) {
		t.Fatalf("the diagram has %d states, there are %d", len(d), len(intent.States))
	}
	for _, from := range intent.States {
		to, ok := d[from]
		if !ok {
			t.Errorf("%s is not in the diagram", from)
		}
		for _, s := range intent.States {
			if from.Can(s) != slices.Contains(to, s) {
				t.Errorf("%s → %s is %v", from, s, from.Can(s))
			}
		}
		if from.Final() != (len(to) == 0) || from.Open() == from.Final() {
			t.Errorf("%s: final %v, open %v", from, from.Final(), from.Open())
		}
	}
}

func TestEveryStateIsReachedFromAProposal(t *testing.T) {
	seen := map[intent.State]bool{intent.Proposed: true}
	for todo := []intent.State{intent.Proposed}; len(todo) > 0; todo = todo[1:] {
		for _, s := range intent.States {
			if todo[0].Can(s) && !seen[s] {
				seen[s], todo = true, append(todo, s)
			}
		}
	}
	for _, s := range intent.States {
		if !seen[s] {
			t.Errorf("nothing leads to %s", s)
		}
	}
}

// The rules that the diagram has to keep, whatever is added to it.
func TestNoWayAroundTheDecisionOrTheOutcome(t *testing.T) {
	for _, s := range intent.States {
		if s.Can(intent.Sending) && s != intent.Claimed && s != intent.Unknown {
			t.Errorf("%s sends without a claim", s)
		}
		if s.Can(intent.Claimed) && !slices.Contains([]intent.State{intent.Proposed, intent.Approved, intent.Claimed}, s) {
			t.Errorf("%s is claimed", s)
		}
		if s.Can(intent.Unknown) && s != intent.Sending || s.Can(intent.Proposed) {
			t.Errorf("%s becomes unknown, or a proposal again", s)
		}
	}
	if intent.Sending.Can(intent.Claimed) || intent.Sending.Can(intent.Sending) || intent.Unknown.Can(intent.Claimed) || intent.Unknown.Can(intent.Failed) {
		t.Error("what may have left can be sent again, or called failed")
	}
	for _, s := range []intent.State{"", "committed", "NONSENSE"} {
		for _, to := range intent.States {
			if s.Can(to) || to.Can(s) {
				t.Errorf("%q ↔ %s", s, to)
			}
		}
	}
}
