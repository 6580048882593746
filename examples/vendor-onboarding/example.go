// Package vendoronboarding has the files of the Vendor Onboarding example: its
// resources, its sample suppliers, and the OpenAPI documents of the systems.
//
// It has no code. The example's programs are in the packages below it; none of
// them imports anything of the product, so that they are to it what any other
// company's systems are.
package vendoronboarding

import "embed"

// Files has the directories "resources" (what "sallyport apply" takes),
// "tickets-mcp" (what takes the place of some of it, where the ticketing system is
// reached as an MCP server) and "data" (sample input).
//
//go:embed resources tickets-mcp data
var Files embed.FS

// The OpenAPI documents that the systems serve, and that the Integrations in
// the resources refer to.
var (
	//go:embed resources/openapi/taxverify.json
	TaxverifyOpenAPI []byte
	//go:embed resources/openapi/erp.json
	ERPOpenAPI []byte
	//go:embed resources/openapi/ticketing.json
	TicketingOpenAPI []byte
)
