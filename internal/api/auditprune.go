package api

import (
	"context"
	"strconv"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// AuditPruner drops the beginning of an audit log.
type AuditPruner interface {
	PruneAudit(ctx context.Context, who ident.Principal, in PruneAudit) (PrunedAudit, error)
	// ForgetRecords makes private records unfindable in the entries of before.
	ForgetRecords(ctx context.Context, who ident.Principal, why string) error
}

// PruneAudit asks for entries to be dropped: those below an index, or those of before
// a time, with a fresh proof.
type PruneAudit struct {
	Below  int64     `json:"below,omitempty"`
	Before time.Time `json:"before,omitzero"`
	Erase  bool      `json:"erase,omitempty"` // erase first the bodies of Runs that ended before that time
	Why    string    `json:"why"`             // one line, for the record
	Fresh
}

// PrunedAudit says what was.
type PrunedAudit struct {
	Minimum int64  `json:"minimum"` // the index below which entries are gone
	Dropped int64  `json:"dropped"`
	Erased  int64  `json:"erased,omitempty"`  // Runs whose bodies were
	Stopped string `json:"stopped,omitempty"` // why it went no further
}

// ForgetRecords asks for what private records are found by to be destroyed, with a
// fresh proof.
type ForgetRecords struct {
	Why string `json:"why"` // one line, for the record
	Fresh
}

func (a *API) auditPrune() {
	handle(a, "POST", "/v1/audit/forget-records", "Destroy what private records are found by in the audit log, with password and one-time code", with(ident.Admin), func(c *call, in ForgetRecords) (none, error) {
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "audit.forget-records"}); err != nil {
			return none{}, err
		}
		return none{}, a.AuditPruner.ForgetRecords(c.Context(), c.who, in.Why)
	})
	handle(a, "POST", "/v1/audit/prune", "Drop entries from the beginning of the audit log, with password and one-time code", with(ident.Admin), func(c *call, in PruneAudit) (PrunedAudit, error) {
		if in.Below < 0 || (in.Below == 0) == in.Before.IsZero() || in.Erase && in.Before.IsZero() {
			return PrunedAudit{}, fault.New(fault.Invalid, "prune below an index, or before a time").WithHint("erase goes with a time")
		}
		act := map[string]any{"act": "audit.prune", "below": strconv.FormatInt(in.Below, 10), "before": in.Before.UTC().Format(time.RFC3339Nano), "erase": in.Erase}
		if err := a.authorize(c, in.Fresh, act); err != nil {
			return PrunedAudit{}, err
		}
		return a.AuditPruner.PruneAudit(c.Context(), c.who, in)
	})
}
