package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

func (p *program) integrationCmd() *cobra.Command {
	return noun("integration", "See what systems offer, whether they can be reached, and what MCP servers have changed",
		p.integrationList(), p.integrationShow(), p.integrationPull(), p.integrationTest(), p.integrationChanges(),
		p.integrationSettle("accept", "Pin a tool as the server defines it now, with password and one-time code"),
		p.integrationSettle("refuse", "Leave a changed tool disabled, or dismiss what a server asks, with password and one-time code"))
}

func (p *program) integrationList() *cobra.Command {
	return verb("list", "List Integrations", "  sallyport integration list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Systems
		raw, err := p.call(cmd.Context(), "GET", "/v1/integrations", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, s := range out.Integrations {
				rows = append(rows, []string{s.Name, s.Kind, s.Origin, strconv.Itoa(len(s.Tools)), strings.Join(s.Connections, ", ")})
			}
			p.table("no Integration is applied", []string{"INTEGRATION", "KIND", "ORIGIN", "TOOLS", "CONNECTIONS"}, rows)
		})
	})
}

func (p *program) integrationShow() *cobra.Command {
	return verb("show NAME", "Show an Integration's tools with their effects", "  sallyport integration show tickets", takes(1), func(cmd *cobra.Command, args []string) error {
		var out api.Systems
		if _, err := p.call(cmd.Context(), "GET", "/v1/integrations", nil, &out); err != nil {
			return err
		}
		for _, s := range out.Integrations {
			if s.Name == args[0] {
				return p.result(s, func() { p.system(s) })
			}
		}
		return fault.New(fault.NotFound, "there is no Integration of that name").WithHint("list them with: sallyport integration list")
	})
}

func (p *program) system(s connector.System) {
	p.pairs("integration", s.Name, "title", s.Title, "kind", s.Kind, "origin", s.Origin, "revision", strconv.FormatInt(s.Revision, 10), "connections", strings.Join(s.Connections, ", "))
	var rows [][]string
	for _, t := range s.Tools {
		rows = append(rows, []string{t.Name, string(t.Effect), short(t.Title, 60), short(t.Digest, 12)})
	}
	p.table("it has no tools yet; ask an MCP server for them with: sallyport integration pull "+s.Name, []string{"TOOL", "EFFECT", "TITLE", "DIGEST"}, rows)
	for _, why := range s.Skipped {
		p.say("not offered: %s", why)
	}
}

func (p *program) integrationPull() *cobra.Command {
	var conn, file string
	c := verb("pull NAME [--connection CONNECTION] [-o FILE]", "Ask an MCP server for its tools' definitions, and write the document that is pinned",
		"  sallyport integration pull tickets -o tickets.mcp.json", takes(1), func(cmd *cobra.Command, args []string) error {
			var out api.Pulled
			raw, err := p.call(cmd.Context(), "POST", route("v1", "integrations", args[0], "pull"), api.Pull{Connection: conn}, &out)
			if err != nil {
				return err
			}
			if file == "" {
				return p.result(raw, func() { fmt.Fprint(p.out, out.Document) })
			}
			if err := os.WriteFile(file, []byte(out.Document), 0o644); err != nil { //nolint:gosec // G306: it is configuration, and holds nothing secret
				return fault.Newf(fault.Invalid, "%s can't be written", fault.Quote(file))
			}
			return p.result(map[string]string{"file": file, "connection": out.Connection, "protocol": out.Protocol}, func() {
				p.line("%s: written, as the server offers it to %s (protocol %s)", file, out.Connection, out.Protocol)
				p.say("read it before it is applied: what stands in it is what Workers are told. Every tool is a write until the Integration says otherwise")
			})
		})
	c.Flags().StringVar(&conn, "connection", "", "whose credential is used; the only one unless said")
	c.Flags().StringVarP(&file, "out", "o", "", "write to this file")
	return c
}

func (p *program) integrationTest() *cobra.Command {
	return verb("test NAME", "Connect to a system for each of its Connections, and say what is wrong; no tool is called", "  sallyport integration test tickets", takes(1), func(cmd *cobra.Command, args []string) error {
		var out api.Tested
		raw, err := p.call(cmd.Context(), "POST", route("v1", "integrations", args[0], "test"), nil, &out)
		if err != nil {
			return err
		}
		bad := 0
		for _, c := range out.Connections {
			if !c.OK {
				bad++
			}
		}
		if err := p.result(raw, func() { p.tested(out) }); err != nil {
			return err
		}
		switch {
		case len(out.Connections) == 0:
			return fault.New(fault.Conflict, "the Integration has no Connection, so nothing was tried")
		case bad > 0:
			return fault.Newf(fault.Conflict, "%d of %d Connections do not work as they are", bad, len(out.Connections))
		}
		return nil
	})
}

func (p *program) tested(out api.Tested) {
	p.system(out.Integration)
	for _, c := range out.Connections {
		switch {
		case c.OK && c.Protocol != "":
			p.line("%s: works (protocol %s)", c.Name, c.Protocol)
		case c.OK:
			p.line("%s: can be reached, and its credential is there", c.Name)
		case c.Problem != "":
			p.line("%s: %s", c.Name, c.Problem)
			if c.Hint != "" {
				p.line("  %s", c.Hint)
			}
		}
		for _, t := range c.Changed {
			p.line("%s: %s", c.Name, t)
		}
		if c.OK {
			continue
		}
		for _, l := range c.Last { // of a child, which often says why
			p.line("  | %s", l)
		}
	}
}

func (p *program) integrationChanges() *cobra.Command {
	var all bool
	c := verb("changes [--all]", "List what MCP servers define otherwise than it was accepted, and what they ask", "  sallyport integration changes", takes(0), func(cmd *cobra.Command, _ []string) error {
		state := string(connector.ItemOpen)
		if all {
			state = ""
		}
		var out api.ToolChanges
		raw, err := p.call(cmd.Context(), "GET", query("/v1/tool-changes", "state", state), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			for _, i := range out.Changes {
				p.pairs("change", i.ID, "state", string(i.State), "integration", i.Integration, "connection", i.Connection, "tool", i.Tool, "since", when(i.At), "why", i.Why,
					"settled by", i.By, "note", i.Note)
				if i.Pinned != "" {
					fmt.Fprint(p.out, "as it was accepted\n", block(indented([]byte(i.Pinned))))
				}
				switch {
				case i.Kind == connector.Asks:
					fmt.Fprint(p.out, "what the server asks; nobody has answered it\n", block(indented([]byte(i.Seen))))
				case i.Seen == "":
					fmt.Fprint(p.out, "as it is now\n", block("the server does not have it, or lists it twice"))
				default:
					fmt.Fprint(p.out, "as it is now\n", block(indented([]byte(i.Seen))))
				}
			}
			if len(out.Changes) == 0 {
				p.line("nothing waits")
			}
		})
	})
	c.Flags().BoolVar(&all, "all", false, "settled ones too")
	return c
}

func (p *program) integrationSettle(word, shortText string) *cobra.Command {
	var why, effect string
	var piped bool
	c := verb(word+" CHANGE --reason TEXT", shortText, "  sallyport integration "+word+` chg_1f --reason "the vendor announced it"`, takes(1), func(cmd *cobra.Command, args []string) error {
		if err := p.mayErase(why, piped); err != nil {
			return err
		}
		f, err := p.fresh(cmd.Context(), word+" the change")
		if err != nil {
			return err
		}
		var out connector.Item
		raw, err := p.call(cmd.Context(), "POST", route("v1", "tool-changes", args[0], word), api.SettleTool{Effect: resource.Effect(effect), Why: why, Fresh: f}, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.line("%s of %s: %s", out.Tool, out.Integration, out.State)
			if out.State == connector.ItemAccepted {
				p.say("write it into your files too, or the next apply pins the old one again: sallyport integration pull %s", out.Integration)
			}
		})
	})
	if word == "accept" {
		c.Flags().StringVar(&effect, "effect", "", "read or write; write unless said")
	}
	c.Flags().StringVar(&why, "reason", "", "one line, for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}
