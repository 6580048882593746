package console

import (
	"net/http"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

type homePage struct {
	Frame
	Requests bool // they may start Runs
	Missions []mission
	Runs     []intent.Run
	Decides  bool
	Waiting  []decision.Item // for their own verdict
	More     bool            // than are listed
	Resolves bool
	Unknown  int
	Open     int // incidents, for who may see them
	Changed  int // tools, for who may see them
}

func (*homePage) name() string { return "home" }

// homeRows is how many rows of each list the first page has.
const homeRows = 5

func (v *visit) home() (err error) {
	p := &homePage{Frame: Frame{Title: "Home"}, Requests: v.who.Has(ident.Requester), Decides: v.who.Has(ident.Approver),
		Resolves: v.who.Has(ident.Admin) || v.who.Has(ident.Auditor)}
	if p.Requests {
		if p.Missions, err = v.missions(); err != nil {
			return err
		}
	}
	if p.Runs, err = v.Store.Runs(v.Context(), v.who.Tenant, v.who.String(), homeRows); err != nil {
		return err
	}
	if p.Decides {
		if p.Waiting, err = v.waiting(); err != nil {
			return err
		}
		if p.More = len(p.Waiting) > homeRows; p.More {
			p.Waiting = p.Waiting[:homeRows]
		}
	}
	if p.Resolves {
		l, err := v.Store.IntentsIn(v.Context(), v.who.Tenant, intent.NeedsHuman)
		if err != nil {
			return err
		}
		p.Unknown = len(l)
	}
	if p.Open, err = v.Incidents.Open(v.Context(), v.who); err != nil {
		return err
	}
	if v.who.Has(ident.Builder) || v.who.Has(ident.Admin) {
		l, err := v.Systems.ToolChanges(v.Context(), v.who.Tenant, connector.ItemOpen)
		if err != nil {
			return err
		}
		p.Changed = len(l)
	}
	v.render(http.StatusOK, p)
	return nil
}

// waiting lists what waits for the verdict of who is signed in.
func (v *visit) waiting() ([]decision.Item, error) {
	items, err := v.Desk.Queue(v.Context(), v.who.Tenant, decision.Filter{State: decision.Open, Member: v.who.ID})
	if err != nil {
		return nil, err
	}
	var out []decision.Item
	for _, it := range items {
		no, err := v.refusal(v.who, it)
		if err != nil {
			return nil, err
		}
		if no == nil {
			out = append(out, it)
		}
	}
	return out, nil
}
