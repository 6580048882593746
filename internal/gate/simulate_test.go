package gate_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

var (
	replays = &resource.Idempotency{Header: "Idempotency-Key", Window: resource.Duration(time.Hour), Semantics: resource.Replays}
	rejects = &resource.Idempotency{Header: "Idempotency-Key", Window: resource.Duration(time.Hour), Semantics: resource.Rejects, Status: 409}
	all     = []string{"done", "dropped", "cut", "late", "refused", "not sent"}
	few     = []string{"done", "dropped", "late"}
)

// scenarios are explored whole: every order of everything that can happen in each.
var scenarios = map[string]scenario{
	"one dispatcher, any answer":      {lookup: true, silences: 1, person: 1, behaviours: all},
	"two dispatchers":                 {inline: true, lookup: true, behaviours: []string{"late"}},
	"two dispatchers and a crash":     {inline: true, crashes: 1, lookup: true, behaviours: []string{"late"}},
	"a store that fails":              {mishaps: 1, lookup: true, behaviours: []string{"done", "late"}},
	"a crash, and any answer":         {crashes: 1, lookup: true, behaviours: all},
	"a crash, and a store that fails": {crashes: 1, mishaps: 1, lookup: true, behaviours: []string{"done", "late"}},
	"two crashes":                     {crashes: 2, lookup: true, behaviours: few},
	"a door that does not open":       {inline: true, doors: 1, behaviours: []string{"done"}},
	"a dead process that is not dead": {crashes: 1, zombies: 1, lookup: true, behaviours: []string{"done"}},
	"two verdicts, and time that ends": {parked: true, verdicts: []decision.Verdict{decision.Approve, decision.Reject}, expiry: true,
		behaviours: []string{"done", "dropped"}, lookup: true},
	"the same verdict twice":                     {fine: true, parked: true, verdicts: []decision.Verdict{decision.Approve, decision.Approve}, behaviours: []string{"done"}},
	"two people, in any order":                   {fine: true, parked: true, people: 2, verdicts: []decision.Verdict{decision.Approve, decision.Approve}, behaviours: []string{"done"}},
	"two people, one of them twice, and a crash": {parked: true, people: 2, crashes: 1, verdicts: []decision.Verdict{decision.Approve, decision.Approve, decision.Approve}, behaviours: []string{"done"}},
	"two people, a rejection, and time that ends": {parked: true, people: 2, verdicts: []decision.Verdict{decision.Approve, decision.Approve, decision.Reject}, expiry: true,
		behaviours: []string{"done"}},
	"a verdict, and a crash":             {parked: true, verdicts: []decision.Verdict{decision.Approve}, crashes: 1, mishaps: 1, behaviours: []string{"done"}},
	"a Run that ends":                    {parked: true, verdicts: []decision.Verdict{decision.Approve}, ending: true, behaviours: []string{"done", "late"}, lookup: true},
	"a Worker that takes it back":        {withdrawn: true, lookup: true, behaviours: []string{"done", "dropped"}},
	"taken back while it is decided":     {withdrawn: true, parked: true, verdicts: []decision.Verdict{decision.Approve, decision.Reject}, behaviours: []string{"done"}},
	"taken back, and a crash":            {withdrawn: true, parked: true, verdicts: []decision.Verdict{decision.Approve}, crashes: 1, behaviours: []string{"done"}},
	"taken back, and a store that fails": {withdrawn: true, parked: true, verdicts: []decision.Verdict{decision.Approve}, crashes: 1, mishaps: 1, behaviours: []string{"done"}},
	"an approver who leaves":             {revoking: true, inline: true, behaviours: []string{"done"}},
	"nobody can be asked":                {person: 2, behaviours: []string{"dropped"}},
	"a lookup that does not answer":      {crashes: 1, silences: 1, person: 1, lookup: true, behaviours: []string{"dropped"}},
	"the kill switch":                    {stopping: intent.StopAll, lookup: true, behaviours: []string{"done", "dropped"}},
	"the kill switch, and a crash":       {stopping: intent.StopConnection, crashes: 1, lookup: true, behaviours: []string{"dropped"}},
	"a key that replays":                 {keys: replays, crashes: 1, behaviours: []string{"done", "late"}},
	"a key that replays, and expiry":     {keys: replays, expiry: true, ending: true, behaviours: []string{"cut"}},
	"a key that replays, and stores":     {keys: replays, mishaps: 1, behaviours: []string{"done", "dropped"}},
	"a key that rejects":                 {keys: rejects, person: 1, behaviours: []string{"done", "dropped", "refused"}},
	"a key and a lookup":                 {keys: replays, lookup: true, silences: 1, behaviours: few},
	"a key, and a process not dead":      {keys: replays, crashes: 1, zombies: 1, behaviours: []string{"refused", "done"}},
}

// long are those that take their time: only "make chaos" has them.
var long = map[string]bool{"a key, and a process not dead": true, "a key that replays": true, "two crashes": true, "a crash, and a store that fails": true,
	"two dispatchers and a crash": true, "taken back, and a store that fails": true, "taken back, and a crash": true}

// wide has more in some, for "make chaos": where no process ends, no store fails and
// nothing is sent again, a second dispatcher and few's answers. With more of those
// together there is no end of it.
func wide(sc scenario) scenario {
	if sc.crashes+sc.mishaps+sc.person == 0 && sc.keys == nil {
		sc.inline = !sc.parked
		if len(sc.behaviours) < len(few) {
			sc.behaviours = few
		}
	}
	return sc
}

// TestEveryOrderOfEverything explores the real gate, machine and desk over a
// modelled store and system. In no schedule has the system an effect twice, is a
// byte sent without a Decision that holds and SENDING on the record, is anything
// sent again but under a declared key within its window, is an Intent lost, or is
// an outcome recorded that the system does not count.
func TestEveryOrderOfEverything(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var schedules, states, steps int
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		from := time.Now()
		sc := scenarios[name]
		if long[name] && os.Getenv("SALLYPORT_CHAOS") == "" {
			continue
		}
		if os.Getenv("SALLYPORT_CHAOS") != "" {
			sc = wide(sc)
		}
		got := explore(sc, 0)
		schedules, states, steps = schedules+got.schedules, states+got.states, steps+got.steps
		t.Logf("%-34s %7d schedules, %7d states, %v", name, got.schedules, got.states, time.Since(from).Round(time.Millisecond))
		if got.wrong != "" {
			t.Errorf("%s: %s, by\n%s", name, got.wrong, strings.Join(got.trace, "\n"))
		}
	}
	t.Logf("in all %d schedules, %d states, %d steps, in %v", schedules, states, steps, time.Since(began).Round(time.Millisecond))
}

// TestTheExplorationSeesWhatIsMissing takes out one rule after the other: each
// time it finds a schedule that does harm. What it can't see it proves nothing of.
func TestTheExplorationSeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, spoil, want string
		change          func(*scenario)
	}{
		"the fence":                    {in: "a key, and a process not dead", spoil: "fence"},
		"the Decision":                 {in: "two verdicts, and time that ends", spoil: "Decision", change: func(sc *scenario) { sc.inline = true }},
		"the Team":                     {in: "an approver who leaves", spoil: "Team", want: "without a Decision"},
		"SENDING":                      {in: "two crashes", spoil: "SENDING"},
		"one verdict for one Decision": {in: "two verdicts, and time that ends", spoil: "once"},
		"the stop in the claim":        {in: "the kill switch", spoil: "stop", want: "stopped"},
		"the time to settle":           {in: "one dispatcher, any answer", spoil: "settling", want: "and the system has it"},
		"that a system knows the key":  {in: "a key that replays", want: "2 times", change: func(sc *scenario) { sc.forgetful = true }},
	} {
		if long[c.in] && c.spoil == "fence" && os.Getenv("SALLYPORT_CHAOS") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sc := scenarios[c.in]
			sc.spoil = c.spoil
			if c.change != nil {
				c.change(&sc)
			}
			got := explore(sc, 0)
			if got.wrong == "" || !strings.Contains(got.wrong, c.want) {
				t.Errorf("%d schedules without it, and what is found is %q", got.schedules, got.wrong)
			}
			t.Logf("after %d schedules: %s", got.schedules, got.wrong)
		})
	}
}
