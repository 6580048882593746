package sqlite

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

func toolChangeOf(x *row) (connector.Item, error) {
	return connector.Item{
		Tenant: x.tenant(), ID: x.text("id"), Kind: connector.NoticeKind(x.text("kind")), Integration: x.text("integration"), Connection: x.text("connection"),
		Tool: x.text("tool"), Pinned: x.text("pinned"), PinnedHash: x.text("pinned_hash"), Seen: x.text("seen"), SeenHash: x.text("seen_hash"), Why: x.text("why"),
		At: x.instant("at"), State: connector.ItemState(x.text("state")), By: x.text("by"), SettledAt: x.instant("settled_at"), Note: x.text("note"),
	}, nil
}

// NoteToolChange stores an Item with its entry. The same one, while it is open or
// refused, is not stored again; one that was accepted, or a question that was seen,
// is open again. Limit: the Integration has too many that are open.
func (s *Store) NoteToolChange(ctx context.Context, i connector.Item, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbToolChange, i.Tenant, i.ID)
		switch {
		case err == nil && (x.text("state") == string(connector.ItemOpen) || x.text("state") == string(connector.ItemRefused) && i.Kind == connector.Changed):
			return nil
		case err == nil:
			if err := t.put(x, cols{"state": connector.ItemOpen, "at": i.At, "by": "", "settled_at": 0, "note": "", "connection": i.Connection}); err != nil {
				return err
			}
			return t.auditRow(ev, x, nil)
		case !fault.Is(err, fault.NotFound):
			return err
		}
		var n int
		if err := t.QueryRow("SELECT count(*) FROM tool_change WHERE tenant = $1 AND integration = $2 AND state = 'open'", i.Tenant, i.Integration).Scan(&n); err != nil {
			return storeErr("counting changed tools", err)
		}
		if n >= connector.MaxItems {
			return fault.Newf(fault.Limit, "the Integration has %d changes that wait for a person", n)
		}
		x, err = t.insert(tbToolChange, cols{"tenant": i.Tenant, "id": i.ID, "kind": i.Kind, "state": i.State, "integration": i.Integration, "connection": i.Connection,
			"tool": i.Tool, "pinned": i.Pinned, "pinned_hash": i.PinnedHash, "seen": i.Seen, "seen_hash": i.SeenHash, "why": i.Why, "at": i.At, "by": "", "settled_at": 0, "note": ""})
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// ToolChanges lists a tenant's Items, the newest first, at most 200; state "" is all.
func (s *Store) ToolChanges(ctx context.Context, tenant ident.Tenant, state connector.ItemState) ([]connector.Item, error) {
	return listRows(ctx, s, tbToolChange, toolChangeOf, "WHERE tenant = $1 AND ($2 = '' OR state = $2) ORDER BY at DESC, id LIMIT 200", tenant, string(state))
}

// ToolChange is one of them; kind NotFound.
func (s *Store) ToolChange(ctx context.Context, tenant ident.Tenant, id string) (connector.Item, error) {
	return oneRow(ctx, s, toolChangeOf, func(r *reader) (*row, error) { return r.byKey(tbToolChange, tenant, id) })
}

// SettleToolChange stores what a person made of an open Item, with its entry; kind
// Conflict when it is not open.
func (s *Store) SettleToolChange(ctx context.Context, i connector.Item, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbToolChange, i.Tenant, i.ID)
		if err != nil {
			return err
		}
		if x.text("state") != string(connector.ItemOpen) {
			return fault.Newf(fault.Conflict, "the change was %s already", x.text("state"))
		}
		if err := t.put(x, cols{"state": i.State, "by": i.By, "settled_at": i.SettledAt, "note": i.Note}); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}
