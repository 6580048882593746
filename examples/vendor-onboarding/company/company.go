// Package company is the example company: its four systems by name, fresh
// credentials for them, the resources that describe them to the product, and
// sample suppliers.
//
// The product's demo starts its own binary again for each system, which calls
// [Run] with the system's name.
//
// # Security
//
// Credentials are made at random for each demo, written to files of mode 0600
// only, and appear nowhere else. Nothing here has a credential in it.
package company

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"

	vendoronboarding "sallyport.dev/examples/vendor-onboarding"
	"sallyport.dev/examples/vendor-onboarding/erp"
	"sallyport.dev/examples/vendor-onboarding/scriptedmodel"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/taxverify"
	"sallyport.dev/examples/vendor-onboarding/ticketing"
)

// The names of the systems.
const (
	Taxverify     = "taxverify"
	ERP           = "erp"
	Ticketing     = "ticketing"
	ScriptedModel = "scriptedmodel"
)

// Names lists the systems.
var Names = []string{Taxverify, ERP, Ticketing, ScriptedModel}

// System gives a system by its name.
func System(name string) (system.System, error) {
	switch name {
	case Taxverify:
		return taxverify.System(), nil
	case ERP:
		return erp.System(), nil
	case Ticketing:
		return ticketing.System(), nil
	case ScriptedModel:
		return scriptedmodel.System(scriptedmodel.Quirks{}), nil
	}
	return system.System{}, fmt.Errorf("there is no example system %q; there are %q", name, Names)
}

// Run runs the named system as a program, see [system.System.Main].
func Run(ctx context.Context, name string, args []string, stdout io.Writer) error {
	sys, err := System(name)
	if err != nil {
		return err
	}
	return sys.Main(ctx, args, stdout)
}

// Variables are what the resources leave open: where each system is.
var Variables = map[string]string{
	Taxverify: "TAXVERIFY_URL", ERP: "ERP_URL", Ticketing: "TICKETING_URL", ScriptedModel: "MODEL_URL",
}

// Tickets says how the product reaches the ticketing system.
type Tickets string

// The ways.
const (
	OverHTTP Tickets = "http" // by its OpenAPI document
	OverMCP  Tickets = "mcp"  // as an MCP server, with a credential of its own
)

// Resources is the directory that describes the company to the product: YAML
// files, and the documents that they refer to.
func Resources(t Tickets) (fs.FS, error) {
	base, err := fs.Sub(vendoronboarding.Files, "resources")
	if err != nil || t != OverMCP {
		return base, err
	}
	top, err := fs.Sub(vendoronboarding.Files, "tickets-mcp")
	return overlay{base, top}, err
}

// overlay is a directory of which some files are other ones.
type overlay struct {
	fs.FS
	top fs.FS
}

// Open prefers the file on top; directories are those below.
func (o overlay) Open(name string) (fs.File, error) {
	if f, err := o.top.Open(name); err == nil {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			return f, nil
		}
		_ = f.Close() // nothing was read of it
	}
	return o.FS.Open(name)
}

// Unused names the credential that Workers do without: of the two to the
// ticketing system each has its own door.
func Unused(t Tickets) string {
	if t == OverMCP {
		return "ticketing-login"
	}
	return "ticketing-mcp-token"
}

// Supplier is one line of the sample input.
type Supplier struct {
	Name         string `json:"name"`
	Country      string `json:"country"`
	TaxID        string `json:"tax_id"`
	City         string `json:"city"`
	ContactEmail string `json:"contact_email"`
	Expect       string `json:"expect"` // the verdict: onboarded, rejected or duplicate
	Note         string `json:"note"`   // why that is expected
}

// Input is the supplier as a Run's input: without what is expected of it.
func (s Supplier) Input() map[string]any {
	return map[string]any{"name": s.Name, "country": s.Country, "tax_id": s.TaxID, "city": s.City, "contact_email": s.ContactEmail}
}

// Suppliers reads the sample input.
func Suppliers() ([]Supplier, error) {
	b, err := vendoronboarding.Files.ReadFile("data/suppliers.json")
	if err != nil {
		return nil, fmt.Errorf("reading the sample suppliers: %w", err)
	}
	var out []Supplier
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("reading the sample suppliers: %w", err)
	}
	return slices.Clip(out), nil
}
