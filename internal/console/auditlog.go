package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

type auditPage struct {
	Frame
	Filter   audit.Filter
	Types    []audit.Type
	Rows     []auditRow // the latest first
	Size     int64
	Verifier string
	Minimum  int64 // what was below it was pruned
	Older    int64 // where the next page ends; 0: there is none
	Searched int64 // entries that were looked through
}

func (*auditPage) name() string { return "audit" }

// auditRow is an entry with what an auditor asks first: who, by name, and with
// which Secret. The name is today's; the entry has the id, which never changes.
type auditRow struct {
	audit.Row
	Who    string
	Secret string // with its version, where the entry has one
	// Incident is the id of the one that the entry is about.
	Incident string
}

// people gives an account's name as it is today, "" where there is none.
func (v *visit) people() func(id string) string {
	names := map[string]string{}
	return func(id string) string {
		if _, known := names[id]; !known {
			names[id] = ""
			if a, err := v.Directory.Account(v.Context(), v.who.Tenant, id); err == nil {
				names[id] = a.DisplayName
			}
		}
		return names[id]
	}
}

func (v *visit) auditRows(rows []audit.Row) []auditRow {
	out := make([]auditRow, len(rows))
	people := v.people()
	for i, r := range rows {
		out[i].Row = r
		if id, ok := strings.CutPrefix(r.Actor, string(ident.Person)+":"); ok {
			out[i].Who = people(id)
		}
		e, err := audit.ParseEntry(r.Entry)
		if err != nil {
			continue // shown as it is; verifying the log names it
		}
		out[i].Incident, _ = e.Fields["incident"].(string)
		if s, ok := e.Fields["secret"].(string); ok {
			out[i].Secret = s
			if n, ok := e.Fields["secretVersion"]; ok {
				out[i].Secret += fmt.Sprintf(" v%v", n)
			}
		}
	}
	return out
}

// Bounds of one page, and of how far back one look goes.
const (
	auditRows   = 100
	auditWindow = 5000
)

// auditTypes are offered as a filter.
var auditTypes = []audit.Type{
	audit.IntentProposed, audit.IntentDenied, audit.IntentParked, audit.IntentDecided, audit.IntentClaimed, audit.IntentOutcome, audit.IntentSwept,
	audit.IntentResolved, audit.RunStarted, audit.RunEnded, audit.WorkerIncident, audit.IncidentOpened, audit.IncidentClosed,
	audit.ChannelFailed, audit.ChannelRecovered, audit.ChannelDropped, audit.ChannelTested, audit.SecretSet, audit.SecretRotated, audit.SecretDisabled,
	audit.SecretDescribed, audit.SecretMoved, audit.SecretDestroyed, audit.SecretRemoved, audit.SecretOpened, audit.ResourceApplied, audit.ResourceRemoved, audit.TeamChanged, audit.AccountCreated,
	audit.AccountChanged, audit.SessionStarted, audit.SessionFailed, audit.SessionEnded, audit.VaultUnsealed, audit.LogOpened,
	audit.ToolChanged, audit.ToolSettled, audit.IntegrationAsked, audit.AuthorizationBegun, audit.AuthorizationEnded,
}

// auditLog shows entries from the end of the log, or from before ?before=,
// backwards: with a filter those of the last entries that match.
func (v *visit) auditLog() error {
	p := &auditPage{Frame: Frame{Title: "Audit log"}, Types: auditTypes, Filter: audit.Filter{
		Type: audit.Type(v.FormValue("type")), Run: v.FormValue("run"), Intent: v.FormValue("intent"), Connection: v.FormValue("connection"),
	}}
	head, err := v.Audit.Head(v.Context(), v.who.Tenant)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	p.Size, p.Verifier = head.Size, head.Verifier
	end := p.Size
	if n, err := strconv.ParseInt(v.FormValue("before"), 10, 64); err == nil && n > 0 && n < end {
		end = n
	}
	window := int64(auditRows)
	if p.Filter != (audit.Filter{}) {
		window = auditWindow
	}
	from := max(0, end-window)
	rows, err := v.Audit.List(v.Context(), v.who.Tenant, p.Filter, from, int(end-from))
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r audit.Row) bool { return r.Index >= end })
	if len(rows) > auditRows {
		rows = rows[len(rows)-auditRows:]
		from = rows[0].Index
	}
	slices.Reverse(rows)
	pruned, err := audit.LastPruned(v.Context(), v.Audit, v.who.Tenant)
	if err != nil {
		return err
	}
	p.Rows, p.Older, p.Searched, p.Minimum = v.auditRows(rows), from, end-from, pruned.Minimum
	if from <= p.Minimum && p.Minimum > 0 && end <= p.Minimum { // what is kept below is on this page
		p.Older = 0
	}
	v.render(http.StatusOK, p)
	return nil
}
