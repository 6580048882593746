package api

import (
	"context"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/notify"
)

// ChannelKeeper knows how Channels do, and tries them.
type ChannelKeeper interface {
	List(ctx context.Context, t ident.Tenant) ([]notify.Status, error)
	Show(ctx context.Context, t ident.Tenant, name string) (notify.Status, error)
	Test(ctx context.Context, who ident.Principal, name string) error
}

// Channels is a list of Channels, by name.
type Channels struct {
	Channels []notify.Status `json:"channels"`
}

func (a *API) channels() {
	readers := with(ident.Builder, ident.Admin, ident.Auditor)
	handle(a, "GET", "/v1/channels", "List the Channels, and how each does", readers, func(c *call, _ none) (Channels, error) {
		l, err := a.ChannelKeeper.List(c.Context(), c.who.Tenant)
		return Channels{l}, err
	})
	handle(a, "GET", "/v1/channels/{channel}", "Show a Channel, and how it does", readers, func(c *call, _ none) (notify.Status, error) {
		return a.ChannelKeeper.Show(c.Context(), c.who.Tenant, c.PathValue("channel"))
	})
	handle(a, "POST", "/v1/channels/{channel}/test", "Send a message that says it is a test; the error says what is wrong", with(ident.Builder, ident.Admin),
		func(c *call, _ none) (none, error) {
			return none{}, a.ChannelKeeper.Test(c.Context(), c.who, c.PathValue("channel"))
		})
}
