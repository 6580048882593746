package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// AuditAsker searches the audit log.
type AuditAsker interface {
	QueryAudit(ctx context.Context, t ident.Tenant, q audit.Query) (audit.Answer, error)
	// ReindexAudit makes anew what the log is searched by.
	ReindexAudit(ctx context.Context, t ident.Tenant) error
}

// askedName bounds what a query may name, in bytes.
const askedName = 1000

// auditQuery reads a query from an address. Invalid.
func auditQuery(r *http.Request) (q audit.Query, err error) {
	for name, to := range map[string]*string{"record": &q.Record, "secret": &q.Secret, "run": &q.Run, "mission": &q.Mission, "person": &q.Person,
		"worker": &q.Worker, "connection": &q.Connection, "system": &q.System, "tool": &q.Tool, "intent": &q.Intent, "decision": &q.Decision,
		"type": (*string)(&q.Type)} {
		if *to = r.FormValue(name); len(*to) > askedName {
			return q, fault.Newf(fault.Invalid, "%s is longer than %d bytes", name, askedName)
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := r.FormValue(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return q, fault.Newf(fault.Invalid, "%s is no time", name).WithHint("write it like 2026-11-23T12:00:00Z")
			}
		}
	}
	for name, to := range map[string]func(int64){"limit": func(n int64) { q.Limit = int(min(n, audit.MaxUses)) }, "before": func(n int64) { q.Before = n }} {
		if s := r.FormValue(name); s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n < 1 {
				return q, fault.Newf(fault.Invalid, "%s is no number from 1", name)
			}
			to(n)
		}
	}
	return q, nil
}

func (a *API) auditAsk() {
	handle(a, "GET", "/v1/audit/query", "Which Worker used which credential for what, the newest first: ?record=, ?secret=, ?run=, ?mission=, ?person=, ?worker=, ?connection=, ?system=, ?tool=, ?type=, ?intent=, ?decision=, ?since=, ?until=, ?limit=, ?before=",
		with(ident.Auditor, ident.Admin), func(c *call, _ none) (audit.Answer, error) {
			q, err := auditQuery(c.Request)
			if err != nil {
				return audit.Answer{}, err
			}
			return a.AuditAsker.QueryAudit(c.Context(), c.who.Tenant, q)
		})
	handle(a, "POST", "/v1/audit/reindex", "Make anew what the audit log is searched by", with(ident.Admin), func(c *call, _ none) (none, error) {
		return none{}, a.AuditAsker.ReindexAudit(c.Context(), c.who.Tenant)
	})
}
