package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
)

func (p *program) missionCmd() *cobra.Command {
	return noun("mission", "See what can be started", verb("list", "List the Missions", "  sallyport mission list", takes(0),
		func(cmd *cobra.Command, _ []string) error {
			var out api.Missions
			raw, err := p.call(cmd.Context(), "GET", "/v1/missions", nil, &out)
			if err != nil {
				return err
			}
			return p.result(raw, func() {
				var rows [][]string
				for _, m := range out.Missions {
					var fields []string
					for _, f := range m.Form {
						name := f.Name
						if !f.Required {
							name = "[" + name + "]"
						}
						fields = append(fields, name)
					}
					rows = append(rows, []string{m.Name, m.Title, strings.Join(m.Connections, " "), strings.Join(fields, " ")})
				}
				p.table("there are no Missions", []string{"NAME", "TITLE", "CONNECTIONS", "INPUT"}, rows)
			})
		}))
}

// when is a time for people, in UTC as in the console.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}
