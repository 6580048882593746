package notify

import (
	"context"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Post sends a body to a webhook that is no Channel of a tenant's, but is signed and
// guarded as one: with the named Secret, at that address alone. id is the same at
// every try.
func (n *Notifier) Post(ctx context.Context, t ident.Tenant, hook resource.Webhook, network resource.Network, id string, body []byte) error {
	ch := &resource.Channel{Head: resource.Head{Name: "audit-export"}, Webhook: &hook, Network: network}
	status, _, err := n.post(ctx, t, ch, resource.SchemeSignature, hook.URL, id, body)
	if err != nil || status >= 200 && status <= 299 {
		return err
	}
	return refused(status, "")
}

// RetryAfter is for how long the receiver wants to be left alone; 0 where it did not say.
func (r *refusal) RetryAfter() time.Duration { return r.after }
