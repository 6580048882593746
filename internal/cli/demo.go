package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// demoFlags are what the demo is told.
type demoFlags struct {
	auto                                bool
	data, listen, supplier, tickets     string
	provider, modelURL, model, modelKey string
}

func (p *program) demoCmd() *cobra.Command {
	var f demoFlags
	c := verb("demo [--auto] [--data DIR]", "Run the example company on this machine, until Ctrl-C",
		`  sallyport demo
  sallyport demo --auto                   without a person: onboards, rejects and finds a duplicate, then verifies
  sallyport demo --auto --supplier duplicate --json
  sallyport demo --auto --tickets mcp     the ticketing system as an MCP server
  sallyport demo --model-name gpt-5 --model-key-file key.txt`,
		takes(0), func(cmd *cobra.Command, _ []string) error { return p.demo(cmd.Context(), f) })
	c.Flags().BoolVar(&f.auto, "auto", false, "start Runs, approve as the demo's approver, verify the audit log, and end")
	c.Flags().StringVar(&f.data, "data", "", "where its data is kept, and gone on with (default: your data directory; with --auto one that is removed)")
	c.Flags().StringVar(&f.listen, "listen", "", "the server's address (default: the port of the last start, or a free one)")
	c.Flags().StringVar(&f.supplier, "supplier", "", "with --auto: one Run alone, of a sample that is to be onboarded, rejected or a duplicate, or of a JSON file")
	c.Flags().StringVar(&f.tickets, "tickets", string(company.OverHTTP), "how the ticketing system is reached: http, or mcp for its MCP server")
	c.Flags().StringVar(&f.provider, "model-provider", "openai", "with --model-name: openai for any compatible server, or anthropic")
	c.Flags().StringVar(&f.modelURL, "model-url", "", "with --model-name: the endpoint (default: the provider's own)")
	c.Flags().StringVar(&f.model, "model-name", "", "a real model instead of the scripted one")
	c.Flags().StringVar(&f.modelKey, "model-key-file", "", "with --model-name: file with the provider's key")
	c.AddCommand(p.demoCode())
	return c
}

// demoCode is the authenticator app of the demo's people.
func (p *program) demoCode() *cobra.Command {
	var dir string
	c := verb("code PERSON [--data DIR]", "Print the current one-time code of one of the demo's people", "  sallyport demo code approver", takes(1), func(_ *cobra.Command, args []string) error {
		if dir == "" {
			var err error
			if dir, err = p.demoDir(); err != nil {
				return err
			}
		}
		people, err := demo.ReadPeople(dir)
		if err != nil {
			return err
		}
		who, ok := people[args[0]]
		if !ok {
			return fault.Newf(fault.NotFound, "the demo has nobody of that name").WithHint("its people are %s", strings.Join(demo.Names(), ", "))
		}
		now := time.Now()
		code, err := who.Code(now)
		if err != nil {
			return err
		}
		left := step - now.Unix()%step
		p.say("good for %d seconds, once; if it was used already, wait for the next", left)
		return p.result(map[string]any{"code": code, "seconds": left}, func() { p.line("%s", code) })
	})
	c.Flags().StringVar(&dir, "data", "", "the demo's directory, where it is not the default one")
	return c
}

// demoDir is where the demo keeps its data when it is not told.
func (p *program) demoDir() (string, error) {
	base := p.getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.New(fault.Unavailable, "there is no place for the demo's data: HOME is not set").WithHint("give --data")
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "sallyport", "demo"), nil
}

func (p *program) demo(ctx context.Context, f demoFlags) (err error) {
	switch {
	case f.tickets != string(company.OverHTTP) && f.tickets != string(company.OverMCP):
		return &usageError{"--tickets is http or mcp", ""}
	case f.supplier != "" && !f.auto:
		return &usageError{"--supplier is for --auto", "without it, submit a supplier in the Portal"}
	case f.model == "" && (f.modelURL != "" || f.modelKey != ""):
		return &usageError{"the model's name is missing", "give --model-name"}
	}
	var suppliers []supplier
	if f.auto {
		if suppliers, err = choose(f.supplier); err != nil {
			return err
		}
	}
	model, modelKey, err := f.endpoint() // before anything is made
	if err != nil {
		return err
	}
	dir, remove, err := p.demoData(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(err)) }()
	logs, err := os.OpenFile(filepath.Join(dir, "demo.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fault.Newf(fault.Unavailable, "the log %s can't be written", filepath.Join(dir, "demo.log"))
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	cfg := demo.Config{Dir: dir, Listen: f.listen, LogHandler: slog.NewTextHandler(logs, nil), Now: time.Now, Model: model, ModelKey: modelKey, Tickets: company.Tickets(f.tickets)}
	if _, err := demo.ReadPeople(dir); err == nil {
		p.say("going on with the data of an earlier demo; to begin anew, end it and remove them: rm -r %s", dir)
	}
	if err := p.shield(ctx, "text"); err != nil {
		return err
	}
	p.say("starting the example company")
	d, err := demo.Start(ctx, cfg)
	if err != nil {
		return err
	}
	if f.auto {
		err = p.auto(ctx, d, dir, suppliers)
	} else {
		err = p.welcome(d, dir)
		if err == nil {
			select {
			case <-ctx.Done():
				p.say("stopping; a second Ctrl-C ends it at once")
			case <-d.App.Failed():
				err = d.App.Failure()
			}
		}
	}
	return errors.Join(err, d.Stop(context.WithoutCancel(ctx)))
}

// demoData makes the directory, and says what is to become of it: with --auto and
// without --data nothing is left, unless something went wrong.
func (p *program) demoData(f demoFlags) (dir string, remove func(error) error, err error) {
	keep := func(error) error { return nil }
	switch {
	case f.data != "":
		dir, err = filepath.Abs(f.data)
	case !f.auto:
		dir, err = p.demoDir()
	default:
		if dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
			return "", nil, fault.Wrap(fault.Unavailable, "making the demo's directory", err)
		}
		return dir, func(failed error) error {
			if failed != nil && !errors.Is(failed, context.Canceled) {
				p.say("its data and its log are left in %s", dir)
				return nil
			}
			return fault.Wrap(fault.Unavailable, "removing the demo's directory", os.RemoveAll(dir))
		}, nil
	}
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fault.Newf(fault.Unavailable, "the directory %s can't be made", fault.Quote(dir))
	}
	return dir, keep, nil
}

// endpoint is the real model that the demo is to use, or nil.
func (f demoFlags) endpoint() (*resource.Model, []byte, error) {
	if f.model == "" {
		return nil, nil, nil
	}
	m := &resource.Model{Provider: f.provider, BaseURL: f.modelURL, Model: f.model}
	if u, err := url.Parse(f.modelURL); err == nil && u.Scheme == "http" {
		m.Network.AllowLoopbackHTTP = true
	}
	if f.modelKey == "" {
		return m, []byte(rand.Text()), nil // a server of one's own takes any
	}
	b, err := os.ReadFile(f.modelKey)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the file with the model's key can't be read")
	}
	return m, trimEnd(b), nil
}

// welcome says where everything is and how to sign in.
func (p *program) welcome(d *demo.Demo, dir string) error {
	if p.json {
		return p.object(map[string]any{"event": "ready", "url": d.URL(), "data": dir, "scriptedModel": d.Systems[company.ScriptedModel] != nil, "people": d.People})
	}
	url := d.URL()
	p.line("Sallyport is running with the example company.")
	p.line("")
	p.pairs("  Portal", url+"/", "  Decision Queue", url+"/decisions", "  Explain rail", url+"/runs", "  data", dir, "  log", filepath.Join(dir, "demo.log"))
	p.line("")
	if d.Systems[company.ScriptedModel] != nil {
		p.line("The model is a script that speaks the OpenAI protocol, not a language model.")
		p.line("It decides from the tools' actual results. For a real one: --model-name.")
		p.line("")
	}
	p.line("Sign in as (passwords are fresh at each start):")
	p.line("")
	p.line("  %-10s  %-26s  %s", "NAME", "PASSWORD", "ROLES")
	for _, name := range demo.Names() {
		p.line("  %-10s  %-26s  %s", name, d.People[name].Password, join(d.People[name].Roles))
	}
	p.line("")
	p.line("Each sign-in and each approval takes a new one-time code; they change every 30 seconds:")
	p.line("")
	p.line("  %s demo code approver --data %s", p.self, dir)
	p.line("")
	if err := p.sampleSuppliers(); err != nil {
		return err
	}
	p.line("Verify the audit log, also while this runs:")
	p.line("")
	p.line("  %s audit verify --data %s", p.self, demo.ServerDir(dir))
	p.line("")
	p.line("Ctrl-C ends it all.")
	return nil
}

// sampleSuppliers prints one supplier for each verdict.
func (p *program) sampleSuppliers() error {
	p.line("Suppliers to type into the Portal (name, country, tax id), and their verdicts on fresh data:")
	p.line("")
	for _, verdict := range samples {
		in, err := demo.Sample(verdict)
		if err != nil {
			return err
		}
		p.line("  %-10s  %v, %v, %v", verdict+":", in["name"], in["country"], in["tax_id"])
	}
	p.line("")
	return nil
}

func (p *program) demoSystemCmd() *cobra.Command {
	c := verb(demo.SystemCommand, "", "", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
		if err := company.Run(cmd.Context(), args[0], args[1:], p.out); err != nil {
			return fmt.Errorf("the example system: %w", err)
		}
		return nil
	})
	c.Hidden, c.DisableFlagParsing = true, true
	return c
}
