package cli

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
)

func (p *program) channelCmd() *cobra.Command {
	return noun("channel", "See how people are told that a Decision waits, and try it", p.channelList(), p.channelShow(), p.channelTest())
}

func (p *program) channelList() *cobra.Command {
	return verb("list", "List the Channels, and how each does", "  sallyport channel list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Channels
		raw, err := p.call(cmd.Context(), "GET", "/v1/channels", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, s := range out.Channels {
				rows = append(rows, []string{s.Channel.Name, way(s.Channel), s.State, strconv.Itoa(s.Waiting), when(s.Sent), s.Problem})
			}
			p.table("there are no Channels", []string{"CHANNEL", "WAY", "STATE", "WAITING", "LAST SENT", "PROBLEM"}, rows)
		})
	})
}

func (p *program) channelShow() *cobra.Command {
	return verb("show CHANNEL", "Show a Channel, and how it does", "  sallyport channel show finance", takes(1), func(cmd *cobra.Command, args []string) error {
		var s notify.Status
		raw, err := p.call(cmd.Context(), "GET", route("v1", "channels", args[0]), nil, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			c := s.Channel
			var events []string
			for _, e := range c.ListsEvents() {
				events = append(events, string(e))
			}
			links := ""
			if !s.Links {
				links = "none: the server was started without --public-url"
			}
			dropped := ""
			if s.Dropped > 0 {
				dropped = strconv.FormatInt(s.Dropped, 10)
			}
			p.pairs("channel", c.Name, "title", c.Title, "way", way(c), "secret", c.SecretRef(), "teams", cmp.Or(strings.Join(c.Teams, ", "), "all"),
				"events", strings.Join(events, ", "), "tells", cmp.Or(string(c.Tells), string(resource.TellsLink)), "links", links,
				"state", s.State, "waiting", strconv.Itoa(s.Waiting), "given up", dropped, "last tried", when(s.Tried), "last sent", when(s.Sent),
				"problem", s.Problem, "since", when(s.Since), "not before", when(s.Next))
		})
	})
}

func (p *program) channelTest() *cobra.Command {
	return verb("test CHANNEL", "Send a message that says it is a test, and say what is wrong if it can't be sent", "  sallyport channel test finance", takes(1),
		func(cmd *cobra.Command, args []string) error {
			if _, err := p.call(cmd.Context(), "POST", route("v1", "channels", args[0], "test"), nil, nil); err != nil {
				return err
			}
			return p.result(map[string]any{"channel": args[0], "accepted": true}, func() { p.line("%s: the receiver has accepted the message", args[0]) })
		})
}

// way is where a Channel's messages go.
func way(c *resource.Channel) string {
	o, err := c.Origin()
	switch {
	case err != nil:
		return ""
	case c.Webhook != nil:
		return "webhook " + o.String()
	case c.Slack != nil:
		return "slack " + o.String()
	}
	return "mail " + o.String()
}
