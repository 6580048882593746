package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Apply is a set of resources to check and store, all or none.
type Apply struct {
	Resources []json.RawMessage `json:"resources"` // each with its kind
	Prune     bool              `json:"prune,omitempty"`
	DryRun    bool              `json:"dryRun,omitempty"`
}

// Applied says what changed.
type Applied struct {
	Changes []resource.Change `json:"changes"`
	DryRun  bool              `json:"dryRun,omitempty"`
}

// Resources is what is applied.
type Resources struct {
	Resources []resource.Resource `json:"resources"`
}

func (a *API) resources() {
	handle(a, "GET", "/v1/resources", "List what is applied; ?kind=", with(ident.Builder, ident.Admin, ident.Auditor), func(c *call, _ none) (Resources, error) {
		w, err := a.Gate.World(c.who.Tenant)
		if err != nil {
			return Resources{}, err
		}
		out := Resources{Resources: []resource.Resource{}}
		kind := resource.Kind(c.FormValue("kind"))
		for _, r := range w.Catalog.Resources() {
			if kind == "" || r.Header().Kind == kind {
				out.Resources = append(out.Resources, r)
			}
		}
		return out, nil
	})
	handle(a, "POST", "/v1/resources", "Apply resources: all are stored, or none", with(ident.Builder), func(c *call, in Apply) (Applied, error) {
		rs, err := DecodeResources(in.Resources)
		if err != nil {
			return Applied{}, err
		}
		ch, err := a.Applier.Apply(c.Context(), c.who, rs, in.Prune, in.DryRun)
		return Applied{emptied(ch), in.DryRun}, err
	})
}

// DecodeResources reads resources, each by its kind, strictly; kind Invalid.
func DecodeResources(raw []json.RawMessage) ([]resource.Resource, error) {
	out := make([]resource.Resource, len(raw))
	for i, b := range raw {
		var h resource.Head
		if err := json.Unmarshal(b, &h); err != nil {
			return nil, fault.Newf(fault.Invalid, "resource %d is not an object with a kind", i+1)
		}
		r := resource.New(h.Kind)
		if r == nil {
			return nil, fault.Newf(fault.Invalid, "resource %d has the unknown kind %q", i+1, fault.Quote(string(h.Kind))).WithHint("the kinds are %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(resource.Kinds), " ", ", "), "[]"))
		}
		if err := strict(b, r); err != nil {
			return nil, fault.Newf(fault.Invalid, "resource %d (%s %s): %s", i+1, h.Kind, fault.Quote(h.Name), err)
		}
		out[i] = r
	}
	return out, nil
}
