package cli

import (
	"github.com/spf13/cobra"

	"sallyport.dev/internal/confine"
)

// childCmd is the hidden command of the process that becomes an MCP server. What it
// is to become comes through a descriptor; see package confine.
func (p *program) childCmd() *cobra.Command {
	c := verb(confine.Command, "", "", takes(0), func(*cobra.Command, []string) error { return confine.Become() })
	c.Hidden = true
	return c
}
