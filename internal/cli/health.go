package cli

import (
	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
)

func (p *program) healthCmd() *cobra.Command {
	return verb("health", "Say whether the server takes requests", "  sallyport health --server http://127.0.0.1:7411", takes(0), func(cmd *cobra.Command, _ []string) error {
		c, server, err := p.stranger()
		if err != nil {
			return err
		}
		var h api.Health
		raw, err := answer(cmd.Context(), c, "GET", "/readyz", nil, &h)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: %s (version %s)", server, h.Status, h.Version) })
	})
}
