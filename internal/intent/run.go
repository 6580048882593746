package intent

import (
	"encoding/json"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Run is one execution of a Mission. Everything is attributed to a Run.
type Run struct {
	Tenant      ident.Tenant    `json:"tenant"`
	ID          string          `json:"id"` // "run_…"
	Mission     string          `json:"mission"`
	Starter     string          `json:"starter"` // "person:acc_…", "worker:NAME" or "system:schedule"
	StarterName string          `json:"starterName"`
	Via         string          `json:"via"`              // portal, api, cli, schedule
	Worker      string          `json:"worker"`           // "built-in" or "outside"
	Auth        string          `json:"auth,omitempty"`   // of one that an outside Worker started: how it had shown who it is
	Source      string          `json:"source,omitempty"` // the address that the start came from, where it is known
	Input       json.RawMessage `json:"input"`
	Salt        string          `json:"salt,omitempty"` // of what the audit log has of the input; erased with it
	State       RunState        `json:"state"`
	Verdict     string          `json:"verdict,omitempty"`
	Summary     string          `json:"summary,omitempty"`
	Segment     int             `json:"segment"`
	Used        Used            `json:"used"`
	Incidents   int             `json:"incidents,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
	EndedAt     time.Time       `json:"endedAt,omitzero"`
}

// Used is what a Run has taken from its limits so far.
type Used struct {
	Turns        int     `json:"turns"`
	InputTokens  int64   `json:"inputTokens"`
	OutputTokens int64   `json:"outputTokens"`
	CostUSD      float64 `json:"costUSD"`
}

// RunState is where a Run is.
type RunState string

// The states of a Run.
const (
	RunRunning RunState = "running" // a Worker is at it
	RunWaiting RunState = "waiting" // every open Intent waits for a person or a system
	RunEnded   RunState = "ended"
)

// The Workers of a Run.
const (
	BuiltIn = "built-in"
	Outside = "outside"
)

// Brief is what a Worker is given to do a Run: the goal in words, the input, and
// the Tools that it can propose. There is nothing secret in it.
type Brief struct {
	Run   Run    `json:"run"`
	Title string `json:"title"`
	Goal  string `json:"goal"`
	Model string `json:"model,omitempty"` // the Connection that the built-in Worker thinks with
	Tools []Tool `json:"tools"`
	// Form is the JSON Schema of a Run's input.
	Form json.RawMessage `json:"form,omitempty"`
}

// Tool is one Tool as a Worker sees it.
type Tool struct {
	Name        string          `json:"name"` // connection__tool
	Connection  string          `json:"connection"`
	Tool        string          `json:"tool"`
	Description string          `json:"description"`
	Effect      resource.Effect `json:"effect"`
	Schema      json.RawMessage `json:"schema"` // JSON Schema of the arguments
}
