package cli

import (
	"github.com/spf13/cobra"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
)

func (p *program) schemaCmd() *cobra.Command {
	return verb("schema", "Print the JSON Schema of resources, for editors", "  sallyport schema > resources.schema.json", takes(0), func(*cobra.Command, []string) error {
		_, err := p.out.Write(config.Schema())
		return fault.Wrap(fault.Unavailable, "writing the schema", err)
	})
}
