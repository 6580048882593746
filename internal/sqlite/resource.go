package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// StoredResource is an applied resource. Its revision begins at 1 and is raised
// by each change.
type StoredResource struct {
	Resource resource.Resource
	Revision int64
}

// Resources lists a tenant's. Denied: they, or the Teams with their members, are
// not the set that was applied last; then none of them is given, because what is
// missing may be what forbids.
func (s *Store) Resources(ctx context.Context, tenant ident.Tenant) (out []StoredResource, err error) {
	err = s.read(ctx, func(r *reader) error {
		out, err = r.resources(tenant)
		return err
	})
	if _, refused := errors.AsType[*refusal](err); refused {
		no := fault.New(fault.Denied, "what is applied can't be used").
			WithHint("look at the row.refused entries of the audit log, then apply the whole set again with --prune, or restore a backup")
		no.Err = err
		return nil, no
	}
	return out, err
}

func (r *reader) resources(tenant ident.Tenant) ([]StoredResource, error) {
	if err := r.whole(tenant); err != nil {
		return nil, err
	}
	rows, err := r.set(tbResource, tenant, "WHERE tenant = $1 ORDER BY kind, name")
	if err != nil {
		return nil, err
	}
	for _, tb := range []*table{tbTeam, tbMember} { // what is kept beside the Teams that were applied
		if _, err := r.set(tb, tenant, "WHERE tenant = $1"); err != nil {
			return nil, err
		}
	}
	out := make([]StoredResource, len(rows))
	for i, x := range rows {
		kind := resource.Kind(x.text("kind"))
		res := resource.New(kind)
		if res == nil {
			return nil, fault.Newf(fault.Internal, "the store has a resource of the unknown kind %q", fault.Quote(string(kind)))
		}
		if err := json.Unmarshal([]byte(x.text("body")), res); err != nil {
			return nil, fault.Wrap(fault.Internal, "reading a resource", err)
		}
		out[i] = StoredResource{res, x.number("revision")}
	}
	return out, nil
}

// Tenants lists the tenants that have anything applied.
func (s *Store) Tenants(ctx context.Context) ([]ident.Tenant, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT DISTINCT tenant FROM resource ORDER BY tenant`)
	if err != nil {
		return nil, storeErr("listing tenants", err)
	}
	defer rows.Close()
	var out []ident.Tenant
	for rows.Next() {
		var t ident.Tenant
		if err := rows.Scan(&t); err != nil {
			return nil, storeErr("listing tenants", err)
		}
		out = append(out, t)
	}
	return out, storeErr("listing tenants", rows.Err())
}

// ResourceChange is one resource to write, or with a nil Resource to remove.
type ResourceChange struct {
	Kind     resource.Kind
	Name     string
	Resource resource.Resource
	Was      int64 // the revision that the change is based on; 0: it was not there
	Event    audit.Event
}

// Apply writes all changes or none. A resource that is not at the revision that
// a change is based on is a Conflict.
func (s *Store) Apply(ctx context.Context, tenant ident.Tenant, actor string, changes []ResourceChange, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		return t.apply(tenant, actor, changes, at)
	})
}

func (t *Tx) apply(tenant ident.Tenant, actor string, changes []ResourceChange, at time.Time) error {
	if err := t.reader().whole(tenant); err != nil {
		return err
	}
	for _, c := range changes {
		x, err := t.applyOne(tenant, c, at)
		if err != nil {
			return err
		}
		if err := t.applyMembers(tenant, c, actor, at); err != nil {
			return err
		}
		if err := t.applyWorker(tenant, c, actor, at); err != nil {
			return err
		}
		named := cols{"kind": string(c.Kind), "name": c.Name}
		if x == nil {
			err = t.auditWith(c.Event, named)
		} else {
			named["revision"] = x.number("revision")
			err = t.auditRow(c.Event, x, named)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyOne gives the row as it is then, nil for one that was removed.
func (t *Tx) applyOne(tenant ident.Tenant, c ResourceChange, at time.Time) (*row, error) {
	var body []byte
	var err error
	if c.Resource != nil {
		if body, err = json.Marshal(c.Resource); err != nil {
			return nil, fault.Wrap(fault.Internal, "encoding a resource", err)
		}
	}
	if c.Was == 0 {
		revision, err := t.firstRevision(tenant)
		if err != nil {
			return nil, err
		}
		return t.insert(tbResource, cols{"tenant": tenant, "kind": c.Kind, "name": c.Name, "revision": revision, "body": string(body), "applied_at": at})
	}
	x, err := t.reader().byKey(tbResource, tenant, c.Kind, c.Name)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return nil, err
	case err != nil || x.number("revision") != c.Was:
		return nil, fault.Newf(fault.Conflict, "%s %s has changed in the meantime", c.Kind, c.Name)
	case c.Resource == nil:
		return nil, t.remove(x)
	}
	x.add("revision", 1)
	return x, t.put(x, cols{"body": string(body), "applied_at": at})
}

// firstRevision is that of a new resource. While a whole set is replaced it is
// above every one that the log has: what was bound to a resource as it was before
// must not fit it by chance.
func (t *Tx) firstRevision(tenant ident.Tenant) (int64, error) {
	if !t.rows.repair[tenant] {
		return 1, nil
	}
	head, err := t.log.Head(tenant)
	return head.Size + 1, err
}

// applyMembers keeps who is in a Team, and since when, beside the resource.
func (t *Tx) applyMembers(tenant ident.Tenant, c ResourceChange, actor string, at time.Time) error {
	if c.Kind != resource.KindTeam {
		return nil
	}
	team, ok := c.Resource.(*resource.Team)
	if !ok {
		return t.removeTeam(tenant, c.Name, actor, at)
	}
	_, err := t.applyTeam(tenant, *team, actor, at)
	return err
}

// ScheduleMark is when a Mission's schedule last started a Run, or was first
// seen; kind NotFound before that.
func (s *Store) ScheduleMark(ctx context.Context, tenant ident.Tenant, mission, cron string) (time.Time, error) {
	var at int64
	err := s.ro.QueryRowContext(ctx, `SELECT last_at FROM schedule_mark WHERE tenant = $1 AND mission = $2 AND cron = $3`, tenant, mission, cron).Scan(&at)
	return fromMS(at), storeErr("reading a schedule", err)
}

// MarkSchedule stores it.
func (s *Store) MarkSchedule(ctx context.Context, tenant ident.Tenant, mission, cron string, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		_, err := t.Exec(`INSERT INTO schedule_mark (tenant, mission, cron, last_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant, mission, cron) DO UPDATE SET last_at = excluded.last_at`, tenant, mission, cron, ms(at))
		return err
	})
}

// Transcript reads the built-in Worker's conversation of a Run, in order.
func (s *Store) Transcript(ctx context.Context, tenant ident.Tenant, run string) ([]json.RawMessage, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT body FROM transcript WHERE tenant = $1 AND run = $2 ORDER BY seq`, tenant, run)
	if err != nil {
		return nil, storeErr("reading the transcript", err)
	}
	defer rows.Close()
	var out []json.RawMessage
	for rows.Next() {
		var b string
		if err := rows.Scan(&b); err != nil {
			return nil, storeErr("reading the transcript", err)
		}
		out = append(out, json.RawMessage(b))
	}
	return out, storeErr("reading the transcript", rows.Err())
}

// AppendTranscript adds messages after the first n; when there are not exactly
// n, somebody else is at the Run: a Conflict.
func (s *Store) AppendTranscript(ctx context.Context, tenant ident.Tenant, run string, n int, msgs []json.RawMessage, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		var have int
		if err := t.QueryRow(`SELECT count(*) FROM transcript WHERE tenant = $1 AND run = $2`, tenant, run).Scan(&have); err != nil && err != sql.ErrNoRows {
			return storeErr("reading the transcript", err)
		}
		if have != n {
			return fault.New(fault.Conflict, "the transcript has changed in the meantime")
		}
		if err := t.rested(tenant, run); err != nil {
			return err
		}
		for i, m := range msgs {
			if _, err := t.Exec(`INSERT INTO transcript (tenant, run, seq, body, at) VALUES ($1, $2, $3, $4, $5)`, tenant, run, n+i, string(m), ms(at)); err != nil {
				return err
			}
		}
		return nil
	})
}
