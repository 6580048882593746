package cli

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/mcpbridge"
)

// How long the bridge tries a server that can't be reached.
const (
	bridgePatience = 2 * time.Minute
	bridgePause    = 200 * time.Millisecond
)

// mcpFlags are what both commands are told.
type mcpFlags struct {
	mission, tokenEnv, tokenFile string
}

func (f *mcpFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.mission, "mission", "", "the Mission, for a Worker's token; a Run's token has one already")
	c.Flags().StringVar(&f.tokenEnv, "token-env", "SALLYPORT_TOKEN", "the environment variable with the token")
}

// check refuses what can't be meant as a variable's name, without repeating it: people
// put the token itself there by mistake. Its name ends in TOKEN.
func (f *mcpFlags) check() error {
	plain := strings.HasSuffix(f.tokenEnv, "TOKEN") && len(f.tokenEnv) <= 100 && !strings.ContainsFunc(f.tokenEnv, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
	if !plain {
		return &usageError{"that is not the name of a variable for a token", "name the variable and not the token: capital letters, digits and underscores, with TOKEN at its end, like MY_TOKEN"}
	}
	return nil
}

func (p *program) mcpCmd() *cobra.Command {
	var f mcpFlags
	c := forWorkers(verb("mcp", "Serve MCP on standard input and output, for clients that only start programs; and print clients' configurations",
		`  SALLYPORT_TOKEN=spr_… sallyport mcp --server https://sallyport.example.com
  sallyport mcp --server https://sallyport.example.com --token-file /run/secrets/sallyport`,
		takes(0), func(cmd *cobra.Command, _ []string) error { return p.bridge(cmd, f) }))
	f.add(c)
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "a file with the token, instead; read again for each request")
	c.AddCommand(p.mcpConfig())
	return c
}

func (p *program) bridge(cmd *cobra.Command, f mcpFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	door, err := p.mcpURL(f.mission)
	if err != nil {
		return err
	}
	return mcpbridge.Run(cmd.Context(), mcpbridge.Config{
		URL: door, Token: func() (string, error) { return p.workerToken(f) }, In: p.in, Out: p.out,
		Say: func(msg string) { p.say("%s", msg) }, Patience: bridgePatience, Pause: bridgePause,
	})
}

// mcpURL is the door of the server that is meant.
func (p *program) mcpURL(mission string) (string, error) {
	s, _, err := p.sessions()
	if err != nil {
		return "", err
	}
	server, err := p.where(s)
	if err != nil {
		return "", err
	}
	if mission == "" {
		return server + "/mcp", nil
	}
	if ident.CheckName(mission) != nil { // it is not repeated: people put tokens there by mistake
		return "", &usageError{"that is not a Mission's name", "list them with: sallyport mission list"}
	}
	return server + "/mcp/" + mission, nil
}

// workerToken reads the token; what is wrong with it is said without it.
func (p *program) workerToken(f mcpFlags) (string, error) {
	token, from := p.getenv(f.tokenEnv), "the environment variable "+f.tokenEnv
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", fault.Wrap(fault.Unauthenticated, "reading the token's file", because(err))
		}
		token, from = string(b), "the token's file"
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fault.New(fault.Unauthenticated, "there is no token in "+from).
			WithHint("a Run's is shown by: sallyport run start MISSION --outside")
	}
	return token, nil
}
