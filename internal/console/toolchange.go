package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Systems knows what systems changed, and has people authorise Connections to them.
type Systems interface {
	ToolChanges(ctx context.Context, t ident.Tenant, state connector.ItemState) ([]connector.Item, error)
	ToolChange(ctx context.Context, t ident.Tenant, id string) (connector.Item, error)
	AcceptTool(ctx context.Context, who ident.Principal, id string, effect resource.Effect, why string) (connector.Item, error)
	RefuseTool(ctx context.Context, who ident.Principal, id, why string) (connector.Item, error)
	Authorize(ctx context.Context, who ident.Principal, conn, session string) (vault.Grant, error)
	Authorized(ctx context.Context, who ident.Principal, session string, a vault.GrantAnswer) (vault.Grant, error)
	// Rotated says that a rotation can go on.
	Rotated()
	// ClientDocument is our metadata as an OAuth client; nil: there is none.
	ClientDocument() []byte
}

type changesPage struct {
	Frame
	All     bool // settled ones too
	Changes []connector.Item
}

func (*changesPage) name() string { return "changes" }

func (v *visit) toolChanges() (err error) {
	p := &changesPage{Frame: Frame{Title: "Changed tools"}, All: v.FormValue("state") == "all"}
	state := connector.ItemOpen
	if p.All {
		state = ""
	}
	if p.Changes, err = v.Systems.ToolChanges(v.Context(), v.who.Tenant, state); err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

type changePage struct {
	Frame
	Item    connector.Item
	Lines   []diffLine // from what was accepted to what is there now
	Can     bool       // who is signed in may settle it
	Accepts bool       // there is something to accept
	Why     string
	Problem *problem
}

func (*changePage) name() string { return "change" }

func (v *visit) showToolChange() error { return v.changePage(http.StatusOK, &changePage{}) }

func (v *visit) changePage(status int, p *changePage) (err error) {
	if p.Item, err = v.Systems.ToolChange(v.Context(), v.who.Tenant, v.PathValue("change")); err != nil {
		return err
	}
	p.Title, p.Can = "Changed tool", p.Item.State == connector.ItemOpen && v.who.Has(ident.Builder)
	if p.Accepts = p.Item.Kind == connector.Changed; p.Accepts {
		p.Lines = difference(pretty(p.Item.Pinned), pretty(p.Item.Seen))
	}
	v.render(status, p)
	return nil
}

// settleTool takes a builder's word on a change.
func (v *visit) settleTool() error {
	p := &changePage{Why: v.PostFormValue("why")}
	if err := v.sayOfTool(p.Why); err != nil {
		status, bad := v.notDone(err, "Nothing was changed")
		if status == http.StatusNotFound {
			return err
		}
		p.Problem = bad
		return v.changePage(status, p)
	}
	v.redirect("/changes?done=settled")
	return nil
}

// sayOfTool hands the word on, with a fresh proof. What a code would be spent on in
// vain is refused before it is spent. The id of a change has the hash of what the page
// has shown: another definition is another change.
func (v *visit) sayOfTool(why string) error {
	id, word := v.PathValue("change"), v.PostFormValue("word")
	i, err := v.Systems.ToolChange(v.Context(), v.who.Tenant, id)
	switch {
	case err != nil:
		return err
	case i.State != connector.ItemOpen:
		return fault.Newf(fault.Conflict, "the change was %s already", i.State)
	case strings.TrimSpace(why) == "":
		return fault.New(fault.Invalid, "the reason is missing")
	case word != "accept" && word != "accept-read" && word != "refuse":
		return fault.New(fault.Invalid, "it was not said what becomes of the tool")
	case word != "refuse" && i.Kind != connector.Changed:
		return fault.New(fault.Conflict, "what a server asks can't be accepted: nobody answers it")
	}
	b, err := intent.Marshal(map[string]any{"act": "tool." + word, "change": id, "tenant": string(v.who.Tenant), "account": v.who.ID})
	if err != nil {
		return fault.New(fault.Invalid, "the change can't be described")
	}
	sum := sha256.Sum256(append([]byte("sallyport changed tool v1\n"), b...))
	if _, err := v.fresh(intent.Digest(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	switch word {
	case "accept":
		_, err = v.Systems.AcceptTool(v.Context(), v.who, id, "", why) // a write
	case "accept-read":
		_, err = v.Systems.AcceptTool(v.Context(), v.who, id, resource.Read, why)
	default:
		_, err = v.Systems.RefuseTool(v.Context(), v.who, id, why)
	}
	return err
}
