package archtest

import "strings"

// Box is one package: its directory in the module, or with "/..." at the end
// that directory and all below it.
type Box struct {
	Path string
	For  string // one line: what it is for
}

// Chain is boxes of one layer that may import each other, downwards only: a box
// imports boxes of the ranks after its own. Between chains of one layer there
// are no imports.
type Chain [][]Box

// Layer is one level of the drawing.
type Layer struct {
	Name   string // its number, or a word for what stands beside the layers
	For    string
	Chains []Chain
}

// one is a chain of a single package.
func one(path, purpose string) Chain { return Chain{{{path, purpose}}} }

// Layers is the architecture, top first. A package imports lower layers, and of
// its own only what its chain orders.
var Layers = []Layer{
	{Name: "8", For: "the program", Chains: []Chain{
		one("cmd/sallyport", "main"),
	}},
	{Name: "7", For: "commands and wiring", Chains: []Chain{{
		{{"internal/cli", "the commands, one file each"}},
		{{"internal/demo", "the server with the example company around it"}},
		{{"internal/app", "wiring: New, Start, Stop, Addr"}},
		{{"internal/config", "strict YAML: resources and the server's own file"}},
	}}},
	{Name: "6", For: "windows and shelves", Chains: []Chain{
		one("client", "the Go client of the API; public, so it stands on nothing of ours"),
		one("internal/api", "the JSON API, and its OpenAPI document"),
		one("internal/console", "the pages: Decision Queue, Runs with their Explain rail, Portal, sign-in"),
		one("internal/sqlite", "the embedded store: one file, one writer, group commit"),
		one("internal/engine/dbos", "durable segments of Runs on one machine"),
	}},
	{Name: "5", For: "doors for Workers, and the way to people", Chains: []Chain{
		one("internal/mission", "the built-in AI Worker's loop, in segments"),
		one("internal/mcpbridge", "the way to that door for clients that only start programs"),
		one("internal/mcpgateway", "the door of the Model Context Protocol, in its three revisions"),
		one("internal/notify", "tells people that a Decision waits: webhook, Slack, e-mail"),
	}},
	{Name: "4", For: "the one way to an effect", Chains: []Chain{{
		{{"internal/gate", "Admit: identity, grant, schema, secrets, policy, Decision"}},
		{{"internal/commit", "the attempt's state machine: claim, send, outcome"}},
	}}},
	{Name: "3", For: "judgement", Chains: []Chain{
		one("internal/catalog", "what a tenant applied, resolved; the one match of a call"),
		one("internal/rotation", "new versions of Secrets: made, tried, switched to, the old ones ended"),
		one("internal/policy", "Cedar: may it happen, and may it happen without a person"),
		one("internal/decision", "a verdict on one exact Intent, by a fresh factor"),
		one("internal/incident", "a secret where none belongs: the record, and how it could get there"),
		one("internal/explain", "the Explain rail: scrubbed Observations in order"),
		{
			{{"internal/identity", "people, Runs, outside Workers, sessions, factors, Teams"}},
			{{"internal/issuer", "for which outside Worker a token of somebody's issuer stands"}},
		},
	}},
	{Name: "2", For: "keys and systems", Chains: []Chain{
		{
			{{"internal/vault", "encrypted Secrets; opens doors, hands out no keys"}},
			{{"internal/vault/internal/rotator", "changes a credential at its system"}},
			{
				{"internal/vault/proccred", "the door to a server that is a child: starts, confines, pairs answers"},
				{"internal/vault/httpcred", "the door to an HTTP system: injects, scrubs"},
				{"internal/vault/oauthcred", "access tokens: client credentials of one pinned issuer"},
				{"internal/vault/smtpcred", "the door to a mail server: signs in, hands messages over"},
				{"internal/vault/kek", "seals: key file, passphrase, transit, exec"},
				{"internal/vault/backend/vaultkv", "values in the key-value engines of Vault and OpenBao"},
				{"internal/vault/backend/vaultlease", "what engines of Vault and OpenBao make for a Run, with a lease"},
				{"internal/vault/backend/awssm", "values in AWS Secrets Manager"},
				{"internal/vault/backend/azurekv", "values in Azure Key Vault"},
				{"internal/vault/backend/gcpsm", "values in Google Secret Manager"},
				{"internal/vault/backend/onepassword", "values in 1Password, by a Connect server"},
				{"internal/vault/backend/kube", "values in the Secrets of Kubernetes"},
				{"internal/vault/backend/local", "values in files and in the environment"},
			},
			{
				{"internal/vault/internal/bao", "a session at a Vault or OpenBao server"},
				{"internal/vault/internal/bearer", "an access token that is got once for all who wait"},
				{"internal/vault/internal/sieve", "what a cloud's SDK sends with, and gets no value by"},
			},
			{{"internal/vault/backend", "the contract of what keeps values elsewhere"}},
			{{"internal/vault/internal/rest", "one request, one bounded answer"}},
			{{"internal/vault/internal/program", "runs a program of the operator's that gets keys"}},
			{{"internal/vault/internal/safe", "files that nobody else can change; strict JSON"}},
			{
				{"internal/vault/internal/object", "JSON with plaintext in it"},
				{"internal/vault/internal/box", "one encryption, bound to where it belongs"},
				{"internal/vault/internal/stream", "a long encryption, chunk by chunk"},
			},
			{{"internal/vault/internal/plain", "where plaintext lives"}},
		},
		{
			{
				{"internal/connector/http", "Tools from an OpenAPI document"},
				{"internal/connector/model", "models: OpenAI-compatible and Anthropic"},
				{"internal/connector/mcp", "MCP servers: pinned tools, both eras"},
			},
			{
				{"internal/connector/dial", "checked addresses, pooled connections, one send"},
				{"internal/connector/schema", "arguments against a Tool's JSON Schema"},
			},
			{{"internal/connector", "what every kind of Integration offers"}},
		},
	}},
	{Name: "1", For: "record and scrubbing", Chains: []Chain{
		{
			{{"internal/audit/export", "entries to where others collect them: file, syslog, webhook"}},
			{{"internal/audit/outside", "witnesses and anchors: checkpoints out of the server's reach"}},
			{{"internal/audit", "the append-only Merkle log and its verifier"}},
			{{"internal/passkey", "checks what a person's authenticator says and signs"}},
		},
		{
			{{"internal/origin", "where the values of an action were seen first"}},
			{{"internal/scrub/deltas", "finds what is cut into the events of a stream"}},
			{{"internal/scrub", "takes known secrets out of what leaves"}},
		},
		one("internal/confine", "a process gives up what a child must not have, and becomes it"),
		one("internal/intake", "how a Secret's value travels: encrypted to the vault's key"),
		one("internal/secretfile", "reads .env and JSON files of Secrets, strictly"),
		one("internal/scrub/unknown", "finds secrets that nobody told us"),
		one("internal/wire/jsonrpc", "one JSON-RPC message, read in one way only"),
	}},
	{Name: "0", For: "words", Chains: []Chain{{
		{{"internal/intent", "what a Worker proposes, and its digest"}},
		{{"internal/resource", "Integration, Connection, Mission, Policy, Team"}},
		{{"internal/crash", "what becomes of a panic: a record without its value"}},
		{{"internal/ident", "ids, tenants, principals"}},
		{{"internal/fault", "the closed kinds of errors"}},
	}}},
	{Name: beside, For: "tests and the example company", Chains: []Chain{
		one("internal/archtest", "this list, and the tests that hold it"),
		one("internal/storetest", "the conformance suite that every store passes"),
		one("internal/passkey/softkey", "an authenticator in memory, for tests"),
		one("internal/vault/backend/baotest", "a Vault server for tests, which makes credentials with leases"),
		one("internal/vault/backend/backendtest", "the contract that every backend passes"),
		one("internal/leaktest", "canaries, encodings, hostile answers, and the search for what came through"),
		one("internal/mcptest", "MCP servers of other people for tests, and the official conformance suite"),
		one("internal/vaulttest", "a real HashiCorp Vault or OpenBao for tests"),
		one("internal/dbtest", "real databases for tests: PostgreSQL and MariaDB"),
		one("internal/mailtest", "a mail server for tests, good and bad"),
		one("internal/doctest", "runs the commands of the documentation"),
		one("examples/vendor-onboarding/...", "the example company: its systems, its model, its resources"),
		one("examples/seal-plugin", "an example of a program for an exec seal"),
		one("examples/hello-api", "the smallest system that a Mission can act on, for docs/getting-started.md"),
	}},
}

// beside names the layer that has no place in the order: nothing of the product
// imports it, but for what the never-lists except.
const beside = "beside"

// place is where a package stands.
type place struct {
	layer, chain, rank int
	box                Box
}

// find gives a package's place.
func find(layers []Layer, path string) (place, bool) {
	for i, l := range layers {
		for j, c := range l.Chains {
			for k, rank := range c {
				for _, b := range rank {
					if matches(b.Path, path) {
						return place{i, j, k, b}, true
					}
				}
			}
		}
	}
	return place{}, false
}

// matches reports whether path is what pattern names: itself, or with "/..." at
// its end, it and everything below. The pattern "..." names everything.
func matches(pattern, path string) bool {
	if dir, ok := strings.CutSuffix(pattern, "..."); ok {
		return path+"/" == dir || strings.HasPrefix(path, dir)
	}
	return path == pattern
}

// anyMatches reports whether one of the patterns names path.
func anyMatches(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}
