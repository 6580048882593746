package sqlite

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
)

func incidentOf(x *row) (incident.Incident, error) {
	return incident.Incident{
		Tenant: x.tenant(), ID: x.text("id"), Kind: incident.Kind(x.text("kind")), At: x.instant("at"), LastAt: x.instant("last_at"), Count: int(x.number("count")),
		Run: x.text("run"), Mission: x.text("mission"), Worker: x.text("worker"), Intent: x.text("intent"), Connection: x.text("connection"), Tool: x.text("tool"),
		Actor: x.text("actor"), Place: x.text("place"), Secret: x.text("secret"), Also: strings.Fields(x.text("also")), Rule: x.text("rule"), Family: x.text("family"),
		Confidence: x.text("confidence"), Quarantine: x.text("quarantine"), NotKept: x.text("not_kept"), State: x.text("state"), ClosedAt: x.instant("closed_at"),
		ClosedBy: x.text("closed_by"), ClosedName: x.text("closed_by_name"), Outcome: x.text("outcome"), Note: x.text("note"),
	}, nil
}

// Incident writes one down with its audit entry and, where it is one of a Run's,
// with its Observation if there is one, in one transaction; n is how many of those that count the
// Run has now. The same thing again, while it is open, counts on the one that is
// there; so does what a Run or a person has too many of.
func (s *Store) Incident(ctx context.Context, in incident.Incident, ev audit.Event, o explain.Observation) (n int, err error) {
	if err := in.Check(); err != nil {
		return 0, err
	}
	err = s.write(ctx, func(t *Tx) error {
		if err := t.incident(in, ev); err != nil || in.Run == "" {
			return err
		}
		x, err := t.reader().byKey(tbRun, in.Tenant, in.Run)
		if err != nil {
			return err
		}
		if in.Kind.Counts() {
			x.add("incidents", 1)
			if err := t.put(x, nil); err != nil {
				return err
			}
		}
		if n = int(x.number("incidents")); o.Run == "" {
			return nil
		}
		return t.observe(o)
	})
	return n, err
}

// incident opens one, or counts on one that is open. Each that is opened is on the
// record, and each that counts against a Run, since that ends soon; of others that
// go on, one in a while.
func (t *Tx) incident(in incident.Incident, ev audit.Event) error {
	x, err := t.goesOn(in)
	if fault.Is(err, fault.NotFound) {
		if err := t.openIncident(in); err != nil {
			return err
		}
		return t.auditWith(ev, cols{"incident": in.ID})
	}
	if err != nil {
		return err
	}
	last := x.instant("last_at")
	x.add("count", 1)
	if err := t.put(x, cols{"last_at": max(ms(in.At), ms(last))}); err != nil {
		return err
	}
	if !in.Kind.Counts() && in.At.Sub(last) < incident.RecordEvery {
		return nil
	}
	return t.auditWith(ev, cols{"incident": x.text("id"), "count": x.number("count")})
}

// goesOn is the open incident that in is one more of; kind NotFound.
func (t *Tx) goesOn(in incident.Incident) (*row, error) {
	same, err := t.reader().live(tbIncident, in.Tenant, in.Same())
	if _, refused := errors.AsType[*refusal](err); refused {
		err = t.reader().leaveOut(err) // what somebody did to the earlier one hides no new one
	}
	if err != nil {
		return nil, err
	}
	if len(same) > 0 {
		return same[0], nil
	}
	source, args := "run = $2 AND $3 <> ''", []any{in.Tenant, in.Run, in.Actor}
	if in.Run == "" {
		source = "run = $2 AND actor = $3"
	}
	args = append(args, in.Kind, ms(in.At.Add(-time.Hour)))
	var n int
	if err := t.QueryRow("SELECT count(*) FROM incident WHERE tenant = $1 AND "+source+" AND kind = $4 AND at > $5", args...).Scan(&n); err != nil {
		return nil, storeErr("counting incidents", err)
	}
	if n < incident.MostAnHour {
		return nil, errNoIncident
	}
	latest, err := t.reader().good(tbIncident, "WHERE tenant = $1 AND "+source+" AND kind = $4 AND at > $5 AND state = 'open' ORDER BY at DESC, id LIMIT 1", args...)
	if err != nil {
		return nil, err
	}
	if len(latest) == 0 {
		return nil, errNoIncident
	}
	return latest[0], nil
}

var errNoIncident error = fault.New(fault.NotFound, "there is no such incident")

func (t *Tx) openIncident(in incident.Incident) error {
	_, err := t.insert(tbIncident, cols{"tenant": in.Tenant, "id": in.ID, "kind": in.Kind, "state": in.State, "same": in.Same(), "at": in.At, "last_at": in.LastAt,
		"count": in.Count, "run": in.Run, "mission": in.Mission, "worker": in.Worker, "intent": in.Intent, "connection": in.Connection, "tool": in.Tool,
		"actor": in.Actor, "place": in.Place, "secret": in.Secret, "also": strings.Join(in.Also, " "), "rule": in.Rule, "family": in.Family,
		"confidence": in.Confidence, "quarantine": in.Quarantine, "not_kept": in.NotKept, "closed_at": 0, "closed_by": "", "closed_by_name": "",
		"outcome": "", "note": ""})
	return err
}

// IncidentByID reads one; kind NotFound.
func (s *Store) IncidentByID(ctx context.Context, tenant ident.Tenant, id string) (incident.Incident, error) {
	return oneRow(ctx, s, incidentOf, func(r *reader) (*row, error) { return r.byKey(tbIncident, tenant, id) })
}

// Incidents lists a page of a tenant's, the newest first.
func (s *Store) Incidents(ctx context.Context, tenant ident.Tenant, f incident.Filter) ([]incident.Incident, error) {
	return listRows(ctx, s, tbIncident, incidentOf, `WHERE tenant = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR kind = $3) AND ($4 = '' OR run = $4)
		AND ($5 = '' OR secret = $5 OR instr(' ' || also || ' ', ' ' || $5 || ' ') > 0)
		AND ($6 = '' OR (at, id) < (SELECT a.at, a.id FROM incident a WHERE a.tenant = $1 AND a.id = $6))
		ORDER BY at DESC, id DESC LIMIT $7`, tenant, f.State, f.Kind, f.Run, f.Secret, f.After, f.Limit)
}

// OpenIncidents is how many there have to be: one whose row is refused or gone is
// counted, so that its loss is seen.
func (s *Store) OpenIncidents(ctx context.Context, tenant ident.Tenant) (n int, err error) {
	err = s.read(ctx, func(r *reader) error {
		if _, _, err := r.find(rowID{tenant, tbIncident, ""}); err != nil { // the tenant's rows are known
			return err
		}
		n = len(r.ids(tbIncident, tenant, ""))
		return nil
	})
	return n, err
}

// CloseIncident closes an open one; see incident.Closing.
func (s *Store) CloseIncident(ctx context.Context, c incident.Closing) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbIncident, c.Tenant, c.ID)
		if err == nil && x.text("state") != incident.Open {
			err = fault.New(fault.Conflict, "the incident is closed already")
		}
		if err != nil {
			return err
		}
		closing := []*row{x}
		if c.Quarantine != "" {
			more, err := t.reader().good(tbIncident, "WHERE tenant = $1 AND quarantine <> '' AND quarantine = $2 AND state = 'open' AND id <> $3 ORDER BY at, id", c.Tenant, c.Quarantine, c.ID)
			if err != nil {
				return err
			}
			closing = append(closing, more...)
		}
		for _, x := range closing {
			if err := t.closeIncident(x, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Tx) closeIncident(x *row, c incident.Closing) error {
	if err := t.put(x, cols{"state": incident.Closed, "closed_at": c.At, "closed_by": c.By, "closed_by_name": c.Name, "outcome": c.Outcome, "note": c.Note}); err != nil {
		return err
	}
	ev := c.Event
	ev.Run, ev.Mission, ev.Fields = x.text("run"), x.text("mission"), maps.Clone(ev.Fields)
	return t.auditWith(ev, cols{"incident": x.text("id"), "kind": x.text("kind")})
}
