package vault

import (
	"context"
	"maps"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Edit is what people read about a Secret, to be changed without a new version.
type Edit struct {
	Description *string           `json:"description,omitempty"` // nil: as it was; "": none
	Owner       *string           `json:"owner,omitempty"`       // the same
	Labels      map[string]string `json:"labels,omitempty"`      // are added, or get another value
	Unlabel     []string          `json:"unlabel,omitempty"`     // names of labels that go
}

// Describe changes what people read about a Secret. Invalid: it changes nothing,
// or would show a known secret.
func (v *Vault) Describe(ctx context.Context, t ident.Tenant, name string, ed Edit, actor ident.Principal) (Secret, error) {
	return v.commit(ctx, t, name, actor, false, func(c *change) error {
		h := &c.e.head
		if h.Removed {
			return fault.Newf(fault.NotFound, "the secret %s was removed", name)
		}
		was := h.clone()
		ed.apply(h)
		if h.Description == was.Description && h.Owner == was.Owner && maps.Equal(h.Labels, was.Labels) {
			return fault.Newf(fault.Invalid, "nothing of what is known of the secret %s would change", name)
		}
		w := Write{Name: name, Description: h.Description, Owner: h.Owner, Labels: h.Labels}
		if err := w.checkTexts(); err != nil {
			return err
		}
		if err := w.checkShown(v.Scrub(t)); err != nil {
			return err
		}
		c.event = audit.SecretDescribed
		return nil
	})
}

func (ed Edit) apply(s *Secret) {
	if ed.Description != nil {
		s.Description = *ed.Description
	}
	if ed.Owner != nil {
		s.Owner = *ed.Owner
	}
	labels := map[string]string{}
	maps.Copy(labels, s.Labels)
	for _, k := range ed.Unlabel {
		delete(labels, k)
	}
	maps.Copy(labels, ed.Labels)
	if s.Labels = labels; len(labels) == 0 {
		s.Labels = nil
	}
}
