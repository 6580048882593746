package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// AuditKeeper keeps the audit log's key, and what is outside of the server.
type AuditKeeper interface {
	AuditStatus(ctx context.Context, t ident.Tenant) (AuditStatus, error)
	// RotateAuditKey goes on with the next key.
	RotateAuditKey(ctx context.Context, who ident.Principal, why string) (AuditKey, error)
}

// AuditEntries is a page of the audit log. Each entry is the log's own bytes.
type AuditEntries struct {
	Entries []json.RawMessage `json:"entries"`
	Next    int64             `json:"next"` // the index to go on from
}

// AuditStatus is where a log is, and where its checkpoints are kept outside.
type AuditStatus struct {
	Size         int64     `json:"size"`
	Verifier     string    `json:"verifier"`   // the key that signs
	Generation   int64     `json:"generation"` // of the key, from 0
	NextVerifier string    `json:"nextVerifier"`
	CosignedSize int64     `json:"cosignedSize"` // of the last checkpoint that enough witnesses cosigned
	Quorum       int       `json:"quorum"`       // how many have to
	Outside      []Outside `json:"outside"`
}

// Outside is a witness, an anchor, or a sink that gets every entry.
type Outside struct {
	Kind  string    `json:"kind"` // witness, file, syslog, export-file, export-syslog, export-webhook
	Name  string    `json:"name"`
	State string    `json:"state"` // waiting, ok, failing
	Size  int64     `json:"size"`  // of the last checkpoint that it has
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	Lag   int64     `json:"lag,omitempty"` // of a sink of entries: how many it has not yet
}

// RotateAuditKey is a request to replace the audit log's key.
type RotateAuditKey struct {
	Why string `json:"why,omitempty"` // one line, for the record
	Fresh
}

// AuditKey is the key that signs from an entry on.
type AuditKey struct {
	Index    int64  `json:"index"`
	Verifier string `json:"verifier"`
}

// maxEntries is the most entries of one page.
const maxEntries = 500

func (a *API) auditLog() {
	acc := with(ident.Auditor, ident.Admin)
	handle(a, "GET", "/v1/audit/entries", "A page of the audit log: ?from=, ?limit=, ?type=, ?run=, ?intent=, ?connection=", acc, func(c *call, _ none) (AuditEntries, error) {
		from, _ := strconv.ParseInt(c.FormValue("from"), 10, 64) // what is no number means the beginning
		f := audit.Filter{Type: audit.Type(c.FormValue("type")), Run: c.FormValue("run"), Intent: c.FormValue("intent"), Connection: c.FormValue("connection")}
		rows, err := a.Audit.List(c.Context(), c.who.Tenant, f, from, limit(c, maxEntries))
		out := AuditEntries{Entries: []json.RawMessage{}, Next: from}
		for _, r := range rows {
			out.Entries = append(out.Entries, r.Entry)
			out.Next = r.Index + 1
		}
		return out, err
	})
	handle(a, "GET", "/v1/audit/status", "The audit log's size and keys, and what witnesses and anchors have of it", acc, func(c *call, _ none) (AuditStatus, error) {
		return a.AuditKeeper.AuditStatus(c.Context(), c.who.Tenant)
	})
	handle(a, "POST", "/v1/audit/rotate-key", "Go on with the next key of the audit log, with password and one-time code", with(ident.Admin), func(c *call, in RotateAuditKey) (AuditKey, error) {
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "audit.rotate-key"}); err != nil {
			return AuditKey{}, err
		}
		return a.AuditKeeper.RotateAuditKey(c.Context(), c.who, in.Why)
	})
	// The log itself, as C2SP tlog-tiles, for anybody's verifier.
	a.mux.HandleFunc("GET /v1/audit/log/", func(w http.ResponseWriter, r *http.Request) {
		who, err := a.caller(r, acc)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		http.StripPrefix("/v1/audit/log", audit.Handler(a.Audit, who.Tenant)).ServeHTTP(w, r)
	})
}
