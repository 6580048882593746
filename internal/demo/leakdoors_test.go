package demo_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// door is one way in: a Connection to a system that is out to give its
// credential back. A new kind of Integration or of credential is a line in doors;
// TestEveryDoorIsInTheTable reads from the code what there has to be.
type door struct {
	name     string
	scheme   resource.Scheme
	provider string // of a model; mcp or stdio: an MCP server; empty: HTTP
	tool     string
	kind     string // of the credential's value
}

var doors = []door{
	{"leak-bearer", resource.SchemeBearer, "", "echo", "token"},
	{"leak-basic", resource.SchemeBasic, "", "echo", "token"},
	{"leak-header", resource.SchemeHeader, "", "echo", "long"},
	{"leak-query", resource.SchemeQuery, "", "echo", "signs"},
	{"leak-head", resource.SchemeBearer, "", "look", "token"},
	{"leak-write", resource.SchemeBearer, "", "submit", "token"},
	{"leak-mcp", resource.SchemeBearer, "mcp", "echo", "token"},
	{"leak-env", resource.SchemeEnv, "stdio", "echo", "token"},
	{"leak-file", resource.SchemeFile, "stdio", "echo", "token"},
	{"leak-openai", resource.SchemeBearer, "openai", "complete", "token"},
	{"leak-anthropic", resource.SchemeHeader, "anthropic", "complete", "token"},
}

// encodings are all that a system tries: what the wire is searched for, and what
// whole texts are.
var encodings = slices.Concat(leaktest.Encoders, leaktest.WholeEncoders)

// own is the canary that a door injects.
func (d door) own() leaktest.Canary { return leaktest.Mint(d.name, "as it is injected", d.kind) }

// of is the canary that the door's system says in one encoding.
func (d door) of(i int) leaktest.Canary {
	return leaktest.Mint(d.name, encodings[i].Name, leaktest.CanaryKinds[i%len(leaktest.CanaryKinds)])
}

func (d door) canaries() []leaktest.Canary {
	all := []leaktest.Canary{d.own()}
	for i := range encodings {
		all = append(all, d.of(i))
	}
	return all
}

// hostile is the system behind all doors: it says what it received, and what else
// the tenant has, where and how it is asked to.
type hostile struct {
	addr string
	mu   sync.Mutex
	got  map[string]int // requests with the right credential, by door
	said map[string]int // answers, by door and carrier
}

func beHostile(t *testing.T) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h := &hostile{addr: "http://" + l.Addr().String(), got: map[string]int{}, said: map[string]int{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return h
}

// serve answers one request in the way that its path, or a model's prompt, names.
func (h *hostile) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(r.Body) // what was sent of it
	i := slices.IndexFunc(doors, func(d door) bool { return strings.HasPrefix(r.URL.Path, "/"+d.name+"/") })
	if i < 0 {
		return
	}
	d, request := doors[i], ""
	if id, said, is := mcpAsked(string(body)); is && d.provider == "mcp" {
		if request = id; said != "" {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(said), said)
			return
		}
	}
	credential := presented(d, r)
	var carrier, encoding, cut int
	at := strings.LastIndex(string(body)+r.URL.Path, "say-")
	if _, err := fmt.Sscanf((string(body) + r.URL.Path)[max(0, at):], "say-%d-%d-%d", &carrier, &encoding, &cut); err != nil {
		return
	}
	carriers := d.carriers()
	h.mu.Lock()
	if credential == d.own().Value {
		h.got[d.name]++
	}
	h.said[d.name+" "+carriers[carrier].Name]++
	h.mu.Unlock()
	rng := rand.New(rand.NewPCG(uint64(carrier), uint64(encoding)))
	chunker := leaktest.Chunkers[cut]
	pieces := func(s string) (out []string) {
		for len(s) > 0 {
			n := min(chunker.Cut(len(s), rng), len(s))
			out, s = append(out, s[:n]), s[n:]
		}
		return out
	}
	answer := carriers[carrier].Answer(d.says(carriers[carrier], encoding, credential), pieces)
	if request != "" {
		answer = strings.ReplaceAll(answer, "REQUEST", request)
	}
	for _, p := range pieces(answer) {
		if _, err := io.WriteString(c, p); err != nil {
			return
		}
	}
}

// says is the canary and the credential itself, in an encoding that the carrier
// can take.
func (d door) says(c leaktest.Carrier, encoding int, credential string) string {
	coded, _ := encodings[encoding].Encode(d.of(encoding).Value)
	if !c.Takes(coded) {
		coded = leaktest.PerByte("%02x")(d.of(encoding).Value)
	}
	also, _ := encodings[encoding].Encode(credential)
	if both := coded + " " + also; c.Takes(both) {
		return both
	}
	return coded
}

// presented is the credential in a request, by the door's scheme.
func presented(d door, r *http.Request) string {
	switch {
	case d.scheme == resource.SchemeBasic:
		_, password, _ := r.BasicAuth()
		return password
	case d.scheme == resource.SchemeHeader:
		return r.Header.Get("X-Api-Key")
	case d.scheme == resource.SchemeQuery:
		return r.URL.Query().Get("api_key")
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// carriers are the ways in which the door's system can answer.
func (d door) carriers() []leaktest.Carrier {
	switch d.provider {
	case "":
		return leaktest.Carriers
	case "mcp", "stdio":
		return mcpCarriers(d.provider == "mcp")
	}
	return append(modelCarriers(d.provider), leaktest.Carriers...)
}

// modelCarriers are the places of a completion: its text, a call's arguments, the
// model's name, the reason for ending, errors, and the pieces of a stream that
// nobody asked for.
func modelCarriers(provider string) (all []leaktest.Carrier) {
	add := func(name, status, mediaType, format string) {
		all = append(all, leaktest.Carrier{Name: provider + " " + name, Takes: func(string) bool { return true }, Shown: true,
			Answer: func(text string, pieces func(string) []string) string {
				body := strings.ReplaceAll(format, "TEXT", leaktest.GoJSON(text))
				if before, event, ok := strings.Cut(format, "DELTA"); ok {
					body = ""
					for _, p := range pieces(text) {
						body += before + leaktest.GoJSON(p) + event
					}
				}
				return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, mediaType, len(body), body)
			}})
	}
	const js = "application/json"
	for _, status := range []string{"400 x", "401 x", "429 x", "500 x"} {
		add("error "+status, status, js, `{"type":"error","error":{"type":"e","message":"not with TEXT"}}`)
	}
	if provider == "openai" {
		const begin, end = `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant",`, `}}]}`
		add("text", "200 OK", js, begin+`"content":"I was sent TEXT"`+end)
		add("refusal", "200 OK", js, begin+`"content":null,"refusal":"TEXT"`+end)
		add("arguments", "200 OK", js, begin+`"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"x TEXT\"}"}}]`+end)
		add("call id", "200 OK", js, begin+`"content":null,"tool_calls":[{"id":"TEXT","type":"function","function":{"name":"TEXT","arguments":"TEXT"}}]`+end)
		add("model", "200 OK", js, `{"model":"TEXT","choices":[{"finish_reason":"TEXT","message":{"role":"TEXT","content":"x"}}]}`)
		add("deltas", "200 OK", "text/event-stream", `data: {"choices":[{"index":0,"delta":{"content":"DELTA"}}]}`+"\n\n")
		return all
	}
	const begin, end = `{"id":"1","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","content":[`, `]}`
	add("text", "200 OK", js, begin+`{"type":"text","text":"I was sent TEXT"}`+end)
	add("arguments", "200 OK", js, begin+`{"type":"tool_use","id":"c","name":"f","input":{"a":"TEXT"}}`+end)
	add("call id", "200 OK", js, begin+`{"type":"tool_use","id":"TEXT","name":"TEXT","input":{}}`+end)
	add("a part of another kind", "200 OK", js, begin+`{"type":"TEXT","text":"TEXT"}`+end)
	add("model", "200 OK", js, `{"type":"message","model":"TEXT","stop_reason":"TEXT","content":[{"type":"text","text":"x"}]}`)
	add("deltas", "200 OK", "text/event-stream", `data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"DELTA"}}`+"\n\n")
	return all
}

// openDoors gives the tenant the canaries and the Connections.
func (w *world) openDoors(h *hostile) {
	w.t.Helper()
	resources := []resource.Resource{&resource.Policy{Head: head(resource.KindPolicy, "leak-unattended"), Integration: "leak-write",
		Cedar: `permit (principal in Mission::"leak", action == Action::"call_unattended", resource == Tool::"leak-write/submit");`}}
	mission := &resource.Mission{Head: head(resource.KindMission, "leak"), Goal: "Have the systems say what they know.", Schedule: []resource.Schedule{{Cron: "0 0 1 1 *"}}, Limits: resource.Limits{Turns: 1000, Calls: 100_000, Tokens: 1_000_000_000, Parked: 1000}}
	for _, d := range doors {
		fields := map[string]string{"token": d.own().Value}
		if d.scheme == resource.SchemeBasic {
			fields = map[string]string{"username": "leak-worker", "password": d.own().Value}
		}
		origin := h.addr
		if d.provider == "stdio" {
			origin = "http://" + d.name + ".stdio.invalid"
		}
		w.keep(d.name, fields, origin)
		fields, n := map[string]string{}, 0
		for i := range encodings {
			fields[fmt.Sprint("field_", i)] = d.of(i).Value
			if len(fields) == 16 || i == len(encodings)-1 {
				w.keep(fmt.Sprint(d.name, "-", n), fields, h.addr)
				fields, n = map[string]string{}, n+1
			}
		}
		auth := resource.Auth{Scheme: d.scheme, Secret: d.name}
		switch d.scheme {
		case resource.SchemeHeader:
			auth.Name = "X-Api-Key"
		case resource.SchemeQuery:
			auth.Name = "api_key"
		case resource.SchemeEnv, resource.SchemeFile:
			auth.Name = credentialIn
		case resource.SchemeBearer, resource.SchemeBasic, resource.SchemeSignature, resource.SchemeAddress, resource.SchemeLogin, resource.SchemeNone, resource.SchemeOAuthClient, resource.SchemeOAuthUser:
		}
		resources = append(resources, d.integration(w.t, h.addr),
			&resource.Connection{Head: head(resource.KindConnection, d.name), Integration: d.name, Tools: []string{d.tool}, Auth: auth})
		mission.Connections = append(mission.Connections, d.name)
	}
	w.apply(append(resources, mission)...)
}

func head(kind resource.Kind, name string) resource.Head {
	return resource.Head{APIVersion: resource.APIVersion, Kind: kind, Name: name}
}

// keep stores a Secret.
func (w *world) keep(name string, fields map[string]string, origin string) {
	w.t.Helper()
	write := vault.Write{Tenant: demo.Tenant, Name: name, Actor: us, Scope: &vault.Scope{Origins: []string{origin}}, Fields: map[string][]byte{}}
	for k, v := range fields {
		write.Fields[k] = []byte(v)
	}
	_, err := w.App.Vault.Set(w.t.Context(), write)
	w.must(err)
}

func (d door) integration(t *testing.T, addr string) *resource.Integration {
	in := &resource.Integration{Head: head(resource.KindIntegration, d.name)}
	if d.provider == "mcp" || d.provider == "stdio" {
		d.overMCP(t, in, addr)
		return in
	}
	network := resource.Network{AllowLoopbackHTTP: true}
	if d.provider != "" {
		in.Model = &resource.Model{Provider: d.provider, BaseURL: addr + "/" + d.name + "/v1", Model: "m", Network: network}
		return in
	}
	method := map[string]string{"echo": "get", "look": "head", "submit": "post"}[d.tool]
	doc, _ := json.Marshal(map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": d.name, "version": "1"}, "paths": map[string]any{
		"/" + d.name + "/{how}": map[string]any{method: map[string]any{"operationId": d.tool,
			"parameters": []any{map[string]any{"name": "how", "in": "path", "required": true, "schema": map[string]any{"type": "string"}}},
			"responses": map[string]any{"200": map[string]any{"description": "ok", "content": map[string]any{
				"application/json": map[string]any{}, "text/plain": map[string]any{}, "text/html": map[string]any{}, "text/event-stream": map[string]any{}}}}}}}})
	in.HTTP = &resource.HTTP{BaseURL: addr, OpenAPI: doc, OpenAPIFile: "leak.json", Network: network}
	return in
}

// ask has a Worker call a door's tool.
func (d door) ask(k *worker, s *sinks, carrier, encoding, cut int) intent.Intent {
	how := fmt.Sprintf("say-%d-%d-%d", carrier, encoding, cut)
	args := map[string]any{"how": how}
	if d.provider != "" && d.provider != "mcp" && d.provider != "stdio" {
		args = map[string]any{"messages": []any{map[string]any{"role": "user", "content": how}}}
	}
	var it intent.Intent
	err := k.sniff(s, k.token).Call(k.t.Context(), "POST", "/v1/runs/"+k.run+"/intents", map[string]any{"connection": d.name, "tool": d.tool, "args": args}, &it)
	if err != nil {
		k.t.Errorf("%s %s: %v", d.name, how, err)
	}
	return it
}

// askAll goes through every carrier of every door and every encoding, which take
// turns; with SALLYPORT_LEAK=full, a 32nd of all their combinations besides.
func (w *world) askAll(s *sinks) (cases int, runs []string) {
	full := os.Getenv("SALLYPORT_LEAK") == "full"
	for di, d := range doors {
		k := w.outside("requester", "leak", nil)
		runs = append(runs, k.run)
		marked := d.provider != "stdio" // whose server counts nothing
		for ci := range d.carriers() {
			for ei := range encodings {
				first := d.provider == "" && ci == 0 || d.provider != "" && ci == 4
				turn := ei == (ci*7+di*11)%len(encodings) || first && ei%2 == di%2
				if !turn && !(full && (ei+ci+di)%32 == 0) {
					continue
				}
				it := d.ask(k, s, ci, ei, (ci+ei+di)%len(leaktest.Chunkers))
				if d.provider != "stdio" {
					cases++
				} else if it.Result != nil && strings.Contains(string(it.Result.Body), "[secret:"+d.name+"]") {
					marked = true
				}
			}
		}
		if !marked {
			w.t.Errorf("%s never got its credential", d.name)
		}
		w.must(k.call("POST", "/v1/runs/"+k.run+"/end", map[string]any{"verdict": "done"}, nil))
	}
	return cases, runs
}

// received says that every system got its credential, and was asked for all, once:
// an answer that is wrong is not asked for again.
func (h *hostile) received(t *testing.T, cases int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := 0
	for _, n := range h.said {
		requests += n
	}
	if requests != cases {
		t.Errorf("%d calls made %d requests", cases, requests)
	}
	for _, d := range doors {
		if d.provider == "stdio" {
			continue
		}
		if h.got[d.name] == 0 {
			t.Errorf("%s never got its credential", d.name)
		}
		for _, c := range d.carriers() {
			if h.said[d.name+" "+c.Name] == 0 {
				t.Errorf("%s never answered in %s", d.name, c.Name)
			}
		}
	}
}
