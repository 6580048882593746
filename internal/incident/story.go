package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/vault"
)

// How sure a hypothesis is.
const (
	Certain  = "certain"  // it is on record
	Likely   = "likely"   // it fits all that is on record
	Possible = "possible" // nothing speaks against it
)

// Story answers how the secret could get there: what could have happened, the
// likeliest first, and what to do now.
type Story struct {
	Hypotheses []Hypothesis `json:"hypotheses"`
	Next       []Step       `json:"next"`
	Users      []User       `json:"users"`         // who used the Secret in the 30 days before
	Cut        bool         `json:"cut,omitempty"` // the log goes further back than was looked
}

// Hypothesis is one way in which it can have happened. Codes don't change: the API
// shows them and tests name them.
type Hypothesis struct {
	Code     string     `json:"code"`
	Sure     string     `json:"sure"`
	Says     string     `json:"says"`
	Evidence []Evidence `json:"evidence"`
}

// Evidence is something on record.
type Evidence struct {
	Says   string    `json:"says"`
	At     time.Time `json:"at,omitzero"`
	Run    string    `json:"run,omitempty"`
	Intent string    `json:"intent,omitempty"`
	Audit  *int64    `json:"audit,omitempty"` // an entry's index
}

// Step is something to do: a command, and where there is one a page.
type Step struct {
	Says    string `json:"says"`
	Command string `json:"command,omitempty"`
	Page    string `json:"page,omitempty"`
}

// User is one Run that used the Secret.
type User struct {
	Run         string    `json:"run"`
	Mission     string    `json:"mission"`
	Connections []string  `json:"connections"`
	Count       int       `json:"count"`
	LastAt      time.Time `json:"lastAt"`
	Audit       int64     `json:"audit"` // index of the latest use
}

// maxUsers bounds the list of Runs, maxEvidence what a hypothesis lists.
const (
	maxUsers    = 20
	maxEvidence = 10
)

// Tell makes the story of what is on record. It is a function of its argument.
func Tell(f Facts) Story {
	s := Story{Users: users(f.Uses), Cut: f.Cut, Hypotheses: []Hypothesis{}}
	for _, tell := range ways[f.Incident.Kind] {
		if h, ok := tell(f); ok {
			if len(h.Evidence) > maxEvidence {
				h.Evidence = h.Evidence[:maxEvidence]
			}
			if h.Evidence == nil {
				h.Evidence = []Evidence{}
			}
			s.Hypotheses = append(s.Hypotheses, h)
		}
	}
	rank := []string{Certain, Likely, Possible}
	slices.SortStableFunc(s.Hypotheses, func(x, y Hypothesis) int { return slices.Index(rank, x.Sure) - slices.Index(rank, y.Sure) })
	s.Next = next(f)
	return s
}

// way tells one thing that can have happened; false: what is on record speaks
// against it, or not for it.
type way func(Facts) (Hypothesis, bool)

// ways are all, by kind, the likelier first among those that are equally sure.
var ways = map[Kind][]way{
	Sent:     {storedLater, inInput, inGoal, returnedByOwn, returnedByOther, onlyUsed, neverUsed, metAgain, several, probing},
	Carried:  {afterApproval, storedLater, inInput, inGoal, inPieces, returnedByOwn, returnedByOther, onlyUsed, neverUsed, metAgain, several, probing},
	Typed:    {typedByOwner, typedByUser, metAgain, several},
	Met:      {systemMints},
	HandedIn: {handedIn},
	Altered:  {wordOfPage, storedLater, inInput, returnedByOwn, returnedByOther},

	BreakGlass: {glassBroken},
}

// users groups uses by Run, the latest first.
func users(uses []Use) []User {
	out := []User{}
	for _, u := range slices.Backward(uses) {
		n := slices.IndexFunc(out, func(o User) bool { return o.Run == u.Run })
		if n < 0 {
			out, n = append(out, User{Run: u.Run, Mission: u.Mission, LastAt: u.At, Audit: u.Claim, Connections: []string{}}), len(out)
		}
		out[n].Count++
		if !slices.Contains(out[n].Connections, u.Connection) {
			out[n].Connections = append(out[n].Connections, u.Connection)
		}
	}
	return out[:min(len(out), maxUsers)]
}

// next lists what to do, the first thing first.
func next(f Facts) []Step {
	i := f.Incident
	var out []Step
	if i.State == Open {
		out = stop(f)
	}
	if i.Run != "" {
		out = append(out, Step{"Read what the Run did before", "sallyport run follow " + i.Run, "/runs/" + i.Run},
			Step{"Read its entries in the audit log", "sallyport audit tail --run " + i.Run, "/audit?run=" + i.Run})
	}
	if i.State != Open {
		return out
	}
	return append(out, Step{Says: "When it is known what happened, close the incident", Command: "sallyport incident close " + i.ID + " --outcome explained --note TEXT"})
}

// stop lists what makes the secret worthless, or says what it is.
func stop(f Facts) (out []Step) {
	i := f.Incident
	if i.Run != "" && f.Run != nil && f.Run.EndedAt.IsZero() {
		out = append(out, Step{"Stop the Run, if its Worker is not to go on with what it knows", "sallyport run stop " + i.Run, "/runs/" + i.Run})
	}
	switch {
	case i.Kind == BreakGlass:
		return glassNext(f)
	case i.Quarantine != "":
		return append(out, Step{Says: "If it is a secret, store it: it is scrubbed from then on", Command: "sallyport incident promote " + i.ID + " --name NAME --origin URL"},
			Step{Says: "If it is none, say so: the same value is let through from then on", Command: "sallyport incident dismiss " + i.ID})
	case !i.Kind.Known():
		return append(out, Step{Says: "Find out whether it is a secret, and rotate it where it was issued"})
	case f.Secret == nil || f.Secret.Removed:
		return append(out, Step{Says: "The Secret was removed: see that its value was ended where it was issued"})
	}
	for _, name := range append([]string{i.Secret}, i.Also...) {
		out = append(out, Step{"Who sent it has it: rotate it where it was issued, then store the new value", "sallyport secret rotate " + name, "/secrets/" + name})
	}
	return append(out, Step{Says: "When it is rotated, close the incident", Command: "sallyport incident close " + i.ID + " --outcome rotated"})
}

// firstStored is when the Secret got its first value, and its latest one.
func stored(s *vault.Secret) (first, last time.Time) {
	if s == nil || len(s.Versions) == 0 {
		return first, last
	}
	return s.Versions[0].CreatedAt, s.Versions[len(s.Versions)-1].CreatedAt
}

// times is "once", "2 times", …
func times[N int | int64](n N) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func list(names []string) string { return strings.Join(names, ", ") }

func at(index int64) *int64 { return &index }
