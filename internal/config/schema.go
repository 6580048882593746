package config

import (
	"encoding"
	"encoding/json"
	"reflect"

	"sallyport.dev/internal/resource"
)

// Schema is the JSON Schema (2020-12) of one resource as it is written in YAML,
// made from the Go types; editors complete and check with it. It is a help: what
// [Load] says counts.
func Schema() []byte {
	g := generator{defs: map[string]any{}}
	var kinds []any
	for _, k := range resource.Kinds {
		t := reflect.TypeOf(resource.New(k)).Elem()
		def := g.object(t)
		props := def["properties"].(map[string]any)
		props["kind"] = map[string]any{"const": string(k)}
		props["apiVersion"] = map[string]any{"const": resource.APIVersion}
		def["description"] = descriptions[t.Name()]
		g.defs[t.Name()] = def
		kinds = append(kinds, ref(t.Name()))
	}
	b, err := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     "https://sallyport.dev/schema/resources.schema.json",
		"title":   "Sallyport resource", "oneOf": kinds, "$defs": g.defs,
	}, "", "  ")
	if err != nil {
		panic(err) // plain maps and strings: a mistake in this file
	}
	return append(b, '\n')
}

type generator struct{ defs map[string]any }

func ref(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func (g *generator) schema(t reflect.Type) map[string]any {
	if values, ok := enums[t]; ok {
		return map[string]any{"enum": values}
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, "examples": []string{"30s", "48h"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem())
	case reflect.Struct:
		if _, done := g.defs[t.Name()]; !done {
			g.defs[t.Name()] = nil // against recursion
			g.defs[t.Name()] = g.object(t)
		}
		return ref(t.Name())
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.schema(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.schema(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{}
}

func (g *generator) object(t reflect.Type) map[string]any {
	props, required := map[string]any{}, []string{}
	for _, f := range fields(t) {
		owner := t.Name()
		if len(f.index) > 1 {
			owner = "Head"
		}
		s := g.schema(f.typ)
		if values, ok := texts[owner+"."+f.name]; ok {
			s["enum"] = values
		}
		if d := descriptions[owner+"."+f.name]; d != "" {
			s["description"] = d
		}
		props[f.name] = s
		if !f.optional {
			required = append(required, f.name)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": props, "required": required}
}

// words are the values of a closed list.
func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// enums are types with a closed set of values; texts are such fields.
var (
	enums = map[reflect.Type][]string{
		reflect.TypeFor[resource.Effect]():  {string(resource.Read), string(resource.Write)},
		reflect.TypeFor[resource.Event]():   words(resource.Events),
		reflect.TypeFor[resource.Tells]():   {string(resource.TellsLink), string(resource.TellsSummary)},
		reflect.TypeFor[resource.MailTLS](): {string(resource.MailStartTLS), string(resource.MailImplicit), string(resource.MailPlain)},
		reflect.TypeFor[resource.Scheme](): {string(resource.SchemeBearer), string(resource.SchemeBasic), string(resource.SchemeHeader), string(resource.SchemeQuery),
			string(resource.SchemeNone), string(resource.SchemeEnv), string(resource.SchemeFile), string(resource.SchemeOAuthClient), string(resource.SchemeOAuthUser)},
	}
	texts = map[string][]string{"Model.provider": {"openai", "anthropic"}, "Field.type": resource.FieldTypes, "ToolRule.errors": {resource.Definite}, "Stdio.sandbox": {resource.SandboxRequired, resource.SandboxBestEffort}}
)

// descriptions are shown by editors. A test holds one for every field.
var descriptions = map[string]string{ //nolint:gosec // G101: it says in words what a credential is
	"Team": "People who may decide.", "Integration": "A system that Workers can act on.",
	"Connection": "An Integration, one credential, and the Tools that it may be used for.",
	"Mission":    "The goal in words, its form, its Connections, who decides, and its limits.",
	"Policy":     "Rules in Cedar about what may happen, and what without a person.",
	"Worker":     "An agent outside that starts Runs for itself.",
	"Channel":    "A way to tell people that a Decision waits for them.",

	"Head.apiVersion": "The version of this format.", "Head.kind": "The kind of resource.",
	"Head.name":  "Lower-case letters, digits and single hyphens, a letter first, at most 40.",
	"Head.title": "What people see instead of the name.", "Head.description": "For people; Workers see a Mission's goal instead.",

	"Team.members": "Account names of the people who may decide.",

	"Integration.http": "A system with an HTTP interface.", "Integration.model": "A chat-completion endpoint.",
	"Integration.mcp": "A server that speaks the Model Context Protocol.",

	"MCP.url": "Where the server is: the one endpoint of streamable HTTP.", "MCP.stdio": "The server as a child process.",
	"MCP.network":     "How the server may be reached beyond TLS to public addresses.",
	"MCP.definitions": "File with the pinned definitions of its tools, as sallyport integration pull writes it, relative to this one. Without it there are no tools yet.",
	"MCP.tools":       "What the definitions can't be believed about, by the tool's name.",
	"MCP.timeout":     "Of one call; 60s unless said.", "MCP.maxBody": "Bytes of an answer; 4 MiB unless said.",

	"Stdio.command": "The program's absolute path, then its arguments.", "Stdio.dir": "Where it runs; an empty directory of its own unless said.",
	"Stdio.env": "All of its environment. Nothing secret: a Connection names that.", "Stdio.read": "Paths that it may read.", "Stdio.write": "Paths that it may read and write.",
	"Stdio.network": "Whether it may open connections.", "Stdio.sandbox": "Where the kernel can't hold it to read, write and network: required (unless said) does not start it, best-effort runs it with what there is.", "Stdio.memory": "Bytes of private memory of each process; 1 GiB unless said.",
	"Stdio.processes": "How many it may have; 64 unless said.", "Stdio.openFiles": "How many it may have open; 256 unless said.",

	"HTTP.baseURL": "Where the system is; every request goes to this origin.", "HTTP.openapi": "File with the system's OpenAPI document, relative to this one, in the same directory or below.",
	"HTTP.network": "How the system may be reached beyond TLS to public addresses.", "HTTP.tools": "What the document can't say about an operation, by operationId.",
	"HTTP.timeout": "Of one call; 30s unless said.", "HTTP.maxBody": "Bytes of an answer; 1 MiB unless said.",

	"Network.allowLoopbackHTTP": "Permit plain HTTP, to a loopback address only.", "Network.allowPrivate": "Address ranges beyond public ones that the host may resolve to, like 10.20.0.0/16.",

	"ToolRule.referenceArgument": "Of an MCP tool: the argument that the Boundary fills with the Intent's id, so that the write can be looked up. Workers are not offered it.",
	"ToolRule.effect":            "GET and HEAD are reads and all else writes, unless said; of an MCP server, every tool is a write.",
	"ToolRule.notSecret":         "JSON pointers into the answer, with * for any name or index: values there look like secrets and are none, such as a cursor.",
	"ToolRule.referenceHeader":   "Header in which a write carries the Intent's id.", "ToolRule.idempotency": "What the system does with idempotency keys; a wrong declaration is a second write.",
	"Idempotency.header": "Header that carries the key.", "Idempotency.window": "How long the system knows a key, from the first request on.",
	"Idempotency.semantics": "What it answers to a known key: replays (the first answer) or rejects (a status).", "Idempotency.status": "Status of rejects, such as 409.",
	"ToolRule.record":        "Where the name of the record stands that a call is about, for the audit log: a JSON pointer into the arguments, or answer: and one into the answer.",
	"ToolRule.recordPrivate": "The log has a keyed hash in place of the record's name.",
	"ToolRule.errors":        "definite: a result of an MCP tool that is an error means that nothing was applied. Otherwise the outcome of such a write is unknown.",
	"ToolRule.lookup":        "How to ask whether a write was applied whose outcome is unknown.",

	"Lookup.connection": "Connection to the same Integration.", "Lookup.tool": "A read.", "Lookup.args": "Its arguments; \"$reference\" stands for the Intent's id.",
	"Lookup.found": "JSON pointer into the answer; there and not empty means that the write was applied.", "Lookup.settle": "How long the system may take to apply it; 30s unless said.",

	"Model.provider": "openai for any compatible server.", "Model.baseURL": "Where the endpoint is; the provider's own unless said.", "Model.model": "The model's name at the provider.",
	"Model.maxTokens": "Of one completion; 4096 unless said.", "Model.network": "How the endpoint may be reached beyond TLS to public addresses.",
	"Model.inputPrice": "US dollars for a million tokens in.", "Model.outputPrice": "US dollars for a million tokens out.",
	"Model.scripted": "A stand-in without a language model; shown to people.", "Model.timeout": "Of one completion; 120s unless said.",

	"Connection.integration": "The Integration's name.", "Connection.tools": "The operationIds that it may be used for; complete of a model.", "Connection.auth": "The one credential.",

	"Auth.variables": "Of the scheme env, in place of a name and a field: environment variables, each with the field that it has.",
	"Auth.scheme":    "How the credential is put into a request.", "Auth.name": "Of the header, query parameter or environment variable.",
	"Auth.secret": "The Secret's name, or NAME@vN to pin a version. Never a value.", "Auth.field": "Which of the Secret's fields; token unless said.",
	"Auth.issuer": "The authorization server that the OAuth schemes are pinned to, an https URL.", "Auth.scope": "What the OAuth schemes ask for, with spaces between; what the server names unless said.",

	"Mission.goal": "What the Worker is to achieve, in words.", "Mission.form": "What a requester fills in.", "Mission.model": "Connection to the model of the built-in Worker; without one, outside Workers only.",
	"Mission.connections": "All that its Runs can reach.", "Mission.decisions": "Who decides on what policy asks about.",
	"Mission.allow_self_approval": "Let the starter decide too. Audited, and shown.", "Mission.limits": "What ends a Run that goes on too long.",
	"Mission.schedule": "When Runs start by themselves.", "Mission.starters": "Teams whose members may start it; every requester unless said.",

	"Mission.retention": "How long what its Runs said is kept.", "Retention.days": "After the end of a Run; as the server says unless said. The shorter of the two counts.",
	"Mission.workers": "Outside Workers that may start it for themselves.", "Mission.workerLimits": "What all outside Workers may take of it together: 50 open Runs, 12000 calls an hour and 100 parked Intents unless said.",

	"Worker.owner": "The account that answers for it; neither decides on what the Worker proposes.", "Worker.disabled": "It is nobody until this is taken away.",
	"Worker.limits": "Of this Worker: 5 open Runs, 1200 calls an hour and 20 parked Intents unless said.", "Worker.ownerLimits": "Of all Workers of its owner: 20 open Runs, 6000 calls an hour and 60 parked Intents unless said.",
	"Worker.jwt": "Which tokens of an issuer stand for it, besides those that are minted here.",

	"WorkerLimits.openRuns": "Runs that have not ended.", "WorkerLimits.callsPerHour": "Starts, proposals, observations and withdrawals within an hour, refused ones too.", "WorkerLimits.parked": "Intents that wait for a Decision at once.",

	"WorkerJWT.issuer": "The claim iss, byte for byte; also where its keys are discovered.", "WorkerJWT.subject": "The claim sub.", "WorkerJWT.claims": "Other claims that have to be in the token as they are here, such as client_id.",
	"WorkerJWT.audience": "What the claim aud has to name; the server's public URL and /mcp unless said.",
	"WorkerJWT.jwksFile": "File with the issuer's keys (JWKS), relative to this one, in the same directory or below; then the issuer is never asked.",
	"WorkerJWT.network":  "How the issuer may be reached beyond TLS to public addresses.",

	"Field.name": "The key in the input.", "Field.label": "What people see.", "Field.help": "One more sentence for people.", "Field.type": "text unless said.",
	"Field.required": "Whether it has to be filled in.", "Field.options": "Of a select.", "Field.pattern": "RE2, of the whole value.", "Field.maxLength": "Characters; 500 unless said.",

	"DecisionRule.connection": "One that the Mission holds.", "DecisionRule.tool": "Every Tool of the Connection unless said.", "DecisionRule.team": "Whose members decide.",
	"DecisionRule.count":   "How many different people of the Team have to approve; 1 unless said, 20 at most.",
	"DecisionRule.expires": "7 days unless said, 30 at most.", "DecisionRule.pinSecret": "A rotation of the Secret between proposal and execution voids the approval.",

	"Limits.turns": "Model calls; 30 unless said.", "Limits.tokens": "In and out; 200000 unless said.", "Limits.costUSD": "By the model's prices; no limit unless said.",
	"Limits.wallClock": "From the start; 30 days unless said.", "Limits.calls": "Calls of one Run, completions included; 1000 unless said.", "Limits.parked": "Intents of one Run that wait at once; 20 unless said.",

	"Schedule.cron": "Minute hour day month weekday, in numbers, UTC.", "Schedule.input": "The form's values.",

	"Channel.webhook": "A receiver of signed messages, by the Standard Webhooks specification.", "Channel.slack": "An incoming webhook of Slack, or of what takes the same messages.",
	"Channel.smtp": "A mail server.", "Channel.teams": "Whose Decisions it tells of; every Team's unless said.", "Channel.events": "What it tells of; decision.waiting unless said.",
	"Channel.tells":       "link: that something waits, for which Team, the Mission's title and the link. summary: also Tool, Connection and expiry. Never arguments or reasons.",
	"Channel.remindAfter": "How long a Decision waits before decision.reminder; 24h unless said.", "Channel.warnBefore": "How long before the expiry decision.expiring is told; 4h unless said.",
	"Channel.network": "How the receiver may be reached beyond TLS to public addresses.",

	"Webhook.url": "Where messages are posted.", "Webhook.secret": "The Secret with the signing key: whsec_ and 24 to 64 bytes in base64. Never a value.",

	"Slack.secret": "The Secret with the webhook's whole address. Never a value.", "Slack.origin": "Where that address has to be; https://hooks.slack.com unless said.",

	"SMTP.host": "The mail server's name, which its certificate has to be for.", "SMTP.port": "587 unless said, 465 with implicit TLS.", "SMTP.tls": "starttls unless said.",
	"SMTP.from": "The sender's address.", "SMTP.to": "Addresses; or members, for those of the Team whose Decision waits.", "SMTP.domain": "What stands after the @ in a member's address, whose first part is the account's name.",
	"SMTP.username": "Who signs in; the Secret's field username unless said.", "SMTP.secret": "The Secret with the password. Never a value.",

	"Policy.integration": "Limits it to one Integration's Tools.", "Policy.cedar": "The text. See the default policy for the vocabulary.",
}
