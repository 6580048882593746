package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// clientConfig is a client's configuration for this server.
type clientConfig struct {
	Client string `json:"client"`
	File   string `json:"file"`   // where the client reads it from
	Config string `json:"config"` // its text; it has no token
}

// mcpClients are the clients whose files are known.
var mcpClients = []string{"claude-code", "codex", "cursor", "vscode", "generic"}

func (p *program) mcpConfig() *cobra.Command {
	var f mcpFlags
	var client string
	var stdio bool
	c := verb("config --client NAME", "Print an MCP client's configuration; it refers to the token and does not have it",
		`  sallyport mcp config --client claude-code > .mcp.json
  sallyport mcp config --client codex --stdio
  sallyport mcp config --client vscode --mission vendor-onboarding`,
		takes(0), func(*cobra.Command, []string) error {
			if !slices.Contains(mcpClients, client) {
				return &usageError{"there is no such client", "one of: " + strings.Join(mcpClients, ", ")}
			}
			if err := f.check(); err != nil {
				return err
			}
			door, err := p.mcpURL(f.mission)
			if err != nil {
				return err
			}
			cfg := configOf(client, door, f, stdio)
			err = p.result(cfg, func() {
				for l := range strings.Lines(cfg.Config) {
					p.line("%s", strings.TrimSuffix(l, "\n"))
				}
			})
			p.say("it belongs into %s", cfg.File)
			if client == "vscode" {
				p.say("the client asks for the token and keeps it")
			} else {
				p.say("the client takes the token from the environment variable %s", f.tokenEnv)
			}
			return err
		})
	f.add(c)
	c.Flags().StringVar(&client, "client", "", strings.Join(mcpClients, ", "))
	c.Flags().BoolVar(&stdio, "stdio", false, "have the client start the bridge, instead of calling the server itself")
	return c
}

// bridgeArgs are how a client starts the bridge.
func bridgeArgs(door string, f mcpFlags) []string {
	server, _, _ := strings.Cut(door, "/mcp")
	args := []string{"mcp", "--server", server}
	if f.mission != "" {
		args = append(args, "--mission", f.mission)
	}
	if f.tokenEnv != "SALLYPORT_TOKEN" {
		args = append(args, "--token-env", f.tokenEnv)
	}
	return args
}

// serverEntry is one server in a client's file, with how the client refers to the token.
func serverEntry(kind, door, token string, f mcpFlags, stdio bool) map[string]any {
	if stdio {
		e := map[string]any{"command": "sallyport", "args": bridgeArgs(door, f), "env": map[string]string{f.tokenEnv: token}}
		if kind != "" {
			e["type"] = "stdio"
		}
		return e
	}
	e := map[string]any{"url": door, "headers": map[string]string{"Authorization": "Bearer " + token}}
	if kind != "" {
		e["type"] = kind
	}
	return e
}

func configOf(client, door string, f mcpFlags, stdio bool) clientConfig {
	name := "sallyport"
	if f.mission != "" {
		name += "-" + f.mission
	}
	under := func(key string, e any) map[string]any { return map[string]any{key: map[string]any{name: e}} }
	variable := "${" + f.tokenEnv + "}"
	switch client {
	case "claude-code":
		return clientConfig{client, ".mcp.json", pretty(under("mcpServers", serverEntry("http", door, variable, f, stdio)))}
	case "cursor":
		return clientConfig{client, ".cursor/mcp.json", pretty(under("mcpServers", serverEntry("", door, "${env:"+f.tokenEnv+"}", f, stdio)))}
	case "vscode":
		cfg := under("servers", serverEntry("http", door, "${input:sallyport-token}", f, stdio))
		cfg["inputs"] = []any{map[string]any{"type": "promptString", "id": "sallyport-token", "description": "Sallyport token", "password": true}}
		return clientConfig{client, ".vscode/mcp.json", pretty(cfg)}
	case "codex":
		return clientConfig{client, "~/.codex/config.toml", codex(name, door, f, stdio)}
	}
	return clientConfig{client, "the client's list of MCP servers", pretty(under("mcpServers", serverEntry("http", door, variable, f, stdio)))}
}

// codex is TOML. Its time-out is longer than an answer is held.
func codex(name, door string, f mcpFlags, stdio bool) string {
	var b strings.Builder
	b.WriteString("[mcp_servers." + name + "]\n")
	if stdio {
		args := bridgeArgs(door, f)
		for i, a := range args {
			args[i] = strconv.Quote(a)
		}
		b.WriteString("command = \"sallyport\"\nargs = [" + strings.Join(args, ", ") + "]\nenv_vars = [" + strconv.Quote(f.tokenEnv) + "]\n")
	} else {
		b.WriteString("url = " + strconv.Quote(door) + "\nbearer_token_env_var = " + strconv.Quote(f.tokenEnv) + "\n")
	}
	b.WriteString("tool_timeout_sec = 120")
	return b.String()
}

// pretty is JSON for a person's file.
func pretty(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // maps of texts
	return strings.TrimSpace(b.String())
}
