package console

import (
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

type replayPage struct {
	Frame
	Run       intent.Run
	At        time.Time
	PolicySet string
	Bare      bool // without what the Worker, people and systems wrote
	Steps     []observed
	Changed   int // steps of which policy says something else today
	Next      int64
}

func (*replayPage) name() string { return "replay" }

// replayed is how many records a page has.
const replayed = 60

// showReplay goes through a Run's record again, with what policy says today. Who may
// is the gate's to say: for all others the Run is not there.
func (v *visit) showReplay() error {
	after, _ := strconv.ParseInt(v.FormValue("after"), 10, 64) // what is no number means the beginning
	r, err := v.Gate.Replay(v.Context(), v.who, v.PathValue("run"), max(after, 0), replayed)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.NotFound, "there is no Run %q that you may see", fault.Quote(v.PathValue("run")))
		}
		return err
	}
	p := &replayPage{Frame: Frame{Title: "Replay"}, Run: r.Run, At: r.At, PolicySet: r.PolicySet, Bare: r.Bare, Next: r.Next}
	for _, s := range r.Steps {
		o, err := v.observed(s.Record)
		if err != nil {
			return err
		}
		if o.Step, o.Today = s.Step, s.Today; s.Today != nil && !s.Today.Same {
			p.Changed++
		}
		p.Steps = append(p.Steps, o)
	}
	v.render(http.StatusOK, p)
	return nil
}
