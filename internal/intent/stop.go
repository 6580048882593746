package intent

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// StopKind is what a stop holds up.
type StopKind string

// The kinds.
const (
	StopRun        StopKind = "run"
	StopMission    StopKind = "mission"
	StopConnection StopKind = "connection"
	StopWorker     StopKind = "worker" // an outside Worker, in every Run that it started
	StopAll        StopKind = "all"    // everything of the tenant
)

// StopKinds lists them.
var StopKinds = []StopKind{StopRun, StopMission, StopConnection, StopWorker, StopAll}

// Stop is a kill switch that was thrown: from then on no credential is used for
// what it names, until it is lifted. Nothing is lost by it: what was approved
// waits.
type Stop struct {
	Tenant ident.Tenant `json:"tenant"`
	Kind   StopKind     `json:"kind"`
	Name   string       `json:"name,omitempty"` // a Run's id, or a name; empty of StopAll
	Since  time.Time    `json:"since"`
	By     string       `json:"by"`     // who threw it, as "kind:id"
	ByName string       `json:"byName"` // as it was, for display
	Reason string       `json:"reason"`
}

// Use is what a credential is used for.
type Use struct {
	Run        string // id
	Starter    string // who started the Run, as "kind:id"
	Mission    string
	Connection string
}

// Use is what the Intent needs a credential for.
func (i Intent) Use() Use {
	return Use{Run: i.Run, Starter: i.Starter, Mission: i.Mission, Connection: i.Connection}
}

// Use is what the Run needs a Connection for; of the Run as a whole it is empty.
func (r Run) Use(connection string) Use {
	return Use{Run: r.ID, Starter: r.Starter, Mission: r.Mission, Connection: connection}
}

// Holds says whether the stop holds up a use. Empty values are held up by StopAll
// alone.
func (s Stop) Holds(u Use) bool {
	switch s.Kind {
	case StopAll:
		return true
	case StopRun:
		return s.Name == u.Run && u.Run != ""
	case StopMission:
		return s.Name == u.Mission && u.Mission != ""
	case StopConnection:
		return s.Name == u.Connection && u.Connection != ""
	case StopWorker:
		return s.Name == ident.WorkerName(u.Starter) && s.Name != ""
	}
	return true // what nobody knows stops all
}

// Stopped is the answer to what is held up: kind Unavailable, so nothing was done
// and a later try may succeed. It is a type of its own because it is no failure:
// who gets it waits, and counts nothing.
type Stopped struct{ Stop Stop }

// Error says what is stopped; the reason is for people, and not in it.
func (e *Stopped) Error() string { return e.fault().Error() }

// Unwrap gives the fault.
func (e *Stopped) Unwrap() error { return e.fault() }

func (e *Stopped) fault() *fault.Error {
	what := "everything is stopped"
	if s := e.Stop; s.Kind != StopAll {
		what = "the " + string(s.Kind) + " " + fault.Quote(s.Name) + " is stopped"
	}
	return fault.New(fault.Unavailable, what+" by a person, so nothing was sent").
		WithHint("it goes on when an admin resumes it; wait, and propose it again then")
}

// IdempotencyKey is what a write is sent under where the Integration declares
// that its system knows such keys: the same for every attempt and every revision
// of the Intent, and nothing that says more than that it is the same one.
func IdempotencyKey(id string) string {
	sum := sha256.Sum256([]byte("sallyport idempotency key v1\n" + id))
	return hex.EncodeToString(sum[:20])
}
