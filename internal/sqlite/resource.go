package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
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

// Resources lists a tenant's.
func (s *Store) Resources(ctx context.Context, tenant ident.Tenant) ([]StoredResource, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT kind, revision, body FROM resource WHERE tenant = $1 ORDER BY kind, name`, tenant)
	if err != nil {
		return nil, storeErr("listing resources", err)
	}
	defer rows.Close()
	var out []StoredResource
	for rows.Next() {
		var kind resource.Kind
		var body string
		var st StoredResource
		if err := rows.Scan(&kind, &st.Revision, &body); err != nil {
			return nil, storeErr("listing resources", err)
		}
		r := resource.New(kind)
		if r == nil {
			return nil, fault.Newf(fault.Internal, "the store has a resource of the unknown kind %q", fault.Quote(string(kind)))
		}
		if err := json.Unmarshal([]byte(body), r); err != nil {
			return nil, fault.Wrap(fault.Internal, "reading a resource", err)
		}
		st.Resource = r
		out = append(out, st)
	}
	return out, storeErr("listing resources", rows.Err())
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
		for _, c := range changes {
			if err := t.applyOne(tenant, c, at); err != nil {
				return err
			}
			if err := t.applyMembers(tenant, c, actor, at); err != nil {
				return err
			}
			if err := t.Audit(c.Event); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Tx) applyOne(tenant ident.Tenant, c ResourceChange, at time.Time) error {
	what := string(c.Kind) + " " + c.Name
	if c.Resource == nil {
		return t.ExecOne(what, `DELETE FROM resource WHERE tenant = $1 AND kind = $2 AND name = $3 AND revision = $4`, tenant, c.Kind, c.Name, c.Was)
	}
	body, err := json.Marshal(c.Resource)
	if err != nil {
		return fault.Wrap(fault.Internal, "encoding a resource", err)
	}
	if c.Was == 0 {
		return t.ExecOne(what, `INSERT INTO resource (tenant, kind, name, revision, body, applied_at) VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT DO NOTHING`,
			tenant, c.Kind, c.Name, string(body), ms(at))
	}
	return t.ExecOne(what, `UPDATE resource SET revision = revision + 1, body = $1, applied_at = $2 WHERE tenant = $3 AND kind = $4 AND name = $5 AND revision = $6`,
		string(body), ms(at), tenant, c.Kind, c.Name, c.Was)
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
		if _, err := t.Exec(`UPDATE run SET rests = 0 WHERE tenant = $1 AND id = $2`, tenant, run); err != nil {
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
