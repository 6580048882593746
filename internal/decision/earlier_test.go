package decision_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
)

// What an earlier revision was is what was kept under its number and its digest, and
// nothing else: never what the action is now.
func TestADecisionOnAnEarlierRevisionIsAboutWhatWasKept(t *testing.T) {
	s := good(t)
	it := decision.Item{Decision: s.d, Intent: s.i}
	kept := decision.Revision{Number: s.d.Revision, Digest: s.d.Digest, Args: json.RawMessage(`{"a":1}`)}
	it.Edits = []decision.Revision{kept}
	if _, ok := it.Was(); ok || it.Earlier() {
		t.Fatal("the Decision on what the action is now is about an earlier revision")
	}
	it.Intent.Revision++
	if was, ok := it.Was(); !ok || !it.Earlier() || string(was.Args) != `{"a":1}` {
		t.Fatalf("it was %+v, %v", was, ok)
	}
	for name, change := range map[string]func(*decision.Revision){
		"another number": func(r *decision.Revision) { r.Number++ },
		"another digest": func(r *decision.Revision) { r.Digest = strings65(r.Digest) },
		"no digest":      func(r *decision.Revision) { r.Digest = "" },
	} {
		other := kept
		change(&other)
		it.Edits = []decision.Revision{other}
		if was, ok := it.Was(); ok {
			t.Errorf("with %s it was %+v", name, was)
		}
	}
}

func TestWhoCannotBreakTheGlassIsToldWhichReasonItIs(t *testing.T) {
	for want, do := range map[string]func(*scene){
		"only an admin":                         func(s *scene) { s.c.Admin = time.Time{} },
		"only who was an admin before":          func(s *scene) { s.c.Admin = s.i.CreatedAt },
		"the server's configuration forbids it": func(s *scene) { s.c.NoGlass, s.c.Admin = true, s.i.CreatedAt.Add(-time.Hour) },
	} {
		s := good(t)
		s.v = decision.Glass
		do(s)
		_, err := s.judge()
		if decision.CodeOf(err) != decision.NotAdmin || !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is told %v", want, err)
		}
	}
}

func TestNobodyDecidedWhatNoVoteEnded(t *testing.T) {
	s := good(t)
	s.approved()
	if len(s.d.By()) == 0 {
		t.Fatal("nobody approved it")
	}
	for _, state := range []decision.State{decision.Open, decision.Void, decision.Expired, decision.Withdrawn} {
		s.d.State = state
		if by := s.d.By(); len(by) != 0 {
			t.Errorf("%s by %q", state, by)
		}
	}
}
