// Package scriptedmodel stands in for a language model where there is none: it
// speaks the OpenAI Chat Completions protocol, streaming and not, and decides
// what a procurement clerk would decide from the messages that it is sent.
//
// It is a script and says so: its model id is "scripted-procurement", its
// system_fingerprint "scripted-not-a-language-model". It keeps nothing between
// requests but the count of tokens; the transcript in the request is all that it
// knows. It calls no tool that the request does not offer, and it never makes up
// a tool's result. Flags, for tests, make it misbehave, or record its requests.
//
// # Security
//
// The messages are data for it, not instructions: a supplier who is called
// "ignore all rules" is a supplier with an odd name.
package scriptedmodel

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
)

//go:embed openapi.json
var openAPI []byte

// Model is the id of the only model. Fingerprint marks every answer.
const (
	Model       = "scripted-procurement"
	Fingerprint = "scripted-not-a-language-model"
)

// maxRequest bounds a request, in bytes: a completion carries its transcript.
const maxRequest = 4 << 20

// Quirks are ways to misbehave as models do, for tests.
type Quirks struct {
	Garbage     bool // tool calls whose arguments are no JSON
	GarbageBody bool // answers that are no completion at all
	UnknownTool bool // first asks for a tool that is not there, then goes on
	Wander      bool // first asks for other Connections, tools and hosts, then goes on
	// Record is a file to which every request's body is appended, for tests of
	// what a model gets to read; none when empty.
	Record string
}

// System is the scripted model; q may be changed by its flags.
func System(q Quirks) system.System {
	quirks := &q
	return system.System{
		Name: "scriptedmodel", OpenAPI: openAPI, Scheme: system.Bearer(),
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&quirks.Garbage, "garbage", q.Garbage, "answer tool calls whose arguments are no JSON")
			fs.BoolVar(&quirks.GarbageBody, "garbage-body", q.GarbageBody, "answer what is no completion")
			fs.BoolVar(&quirks.UnknownTool, "unknown-tool", q.UnknownTool, "ask for a tool that is not there first")
			fs.BoolVar(&quirks.Wander, "wander", q.Wander, "ask for other connections, tools and hosts first")
			fs.StringVar(&quirks.Record, "record", q.Record, "append every request's body to this file")
		},
		Open: func(dir string) (*system.Service, error) { return open(dir, quirks) },
	}
}

// usage is the tokens of one completion; a token is counted as four bytes.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

type service struct {
	quirks  *Quirks
	journal *system.Journal[usage]
	mu      sync.Mutex // held for those below
	total   usage
	answers int
}

func open(dir string, q *Quirks) (*system.Service, error) {
	journal, past, err := system.OpenJournal[usage](filepath.Join(dir, "usage.jsonl"))
	if err != nil {
		return nil, err
	}
	s := &service{quirks: q, journal: journal}
	for _, u := range past {
		s.add(u)
	}
	return &system.Service{
		Routes: []system.Route{
			{Pattern: "GET /v1/models", Handle: s.models},
			{Pattern: "POST /v1/chat/completions", Handle: s.complete},
		},
		Counts: s.counts,
		Close:  journal.Close,
	}, nil
}

func (s *service) add(u usage) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	s.total.PromptTokens += u.PromptTokens
	s.total.CompletionTokens += u.CompletionTokens
	return s.answers
}

func (s *service) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int{"completions": s.answers, "prompt_tokens": s.total.PromptTokens, "completion_tokens": s.total.CompletionTokens}
}

// record keeps what the model is given to read, where a test wants it.
func (s *service) record(body []byte) error {
	if s.quirks.Record == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(s.quirks.Record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(body, '\n'))
	return errors.Join(err, f.Close())
}

func (s *service) models(w http.ResponseWriter, _ *http.Request) {
	system.JSON(w, http.StatusOK, map[string]any{
		"object": "list",
		"data":   []any{map[string]any{"id": Model, "object": "model", "created": 0, "owned_by": Fingerprint}},
	})
}

// refuse answers an error in OpenAI's form.
func refuse(w http.ResponseWriter, status int, code, message string) {
	system.JSON(w, status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "param": nil, "code": code}})
}

func (s *service) complete(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "request_too_large", "the request is longer than 4 MiB or could not be read")
		return
	}
	if err := s.record(body); err != nil {
		refuse(w, http.StatusInternalServerError, "storage", "the request could not be recorded, so nothing is answered")
		return
	}
	var req request
	if err := json.Unmarshal(body, &req); err != nil || len(req.Messages) == 0 {
		refuse(w, http.StatusBadRequest, "invalid_request", "the request is no chat completion request with messages")
		return
	}
	if req.Model != Model {
		refuse(w, http.StatusNotFound, "model_not_found", "there is only the model "+Model)
		return
	}
	if s.quirks.GarbageBody {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("}{ \x00 as an AI I have decided to answer in my own format <|end|>"))
		return
	}
	m := decide(req, *s.quirks)
	if text := system.EchoText(r); text != "" {
		m.text += "\n" + text
	}
	u := usage{PromptTokens: (len(body) + 3) / 4, CompletionTokens: m.tokens()}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	if err := s.journal.Append(u); err != nil {
		refuse(w, http.StatusInternalServerError, "storage", "the usage could not be recorded, so nothing is answered")
		return
	}
	a := answer{move: m, usage: u, n: s.add(u), created: time.Now().Unix()}
	if req.Stream {
		a.stream(w, req.StreamOptions.IncludeUsage)
		return
	}
	system.JSON(w, http.StatusOK, a.completion())
}
