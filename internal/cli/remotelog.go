package cli

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// remoteLog is a server's audit log as it was at one checkpoint, read by the C2SP
// tlog-tiles API. It takes the entries from the server and makes every hash
// itself: what verifies is that these entries, all of them, make the signed root.
type remoteLog struct {
	c          *client.Client
	tenant     ident.Tenant
	checkpoint []byte
	size       int64
	verifier   string // that the first entry names
	rows       []audit.Row
	hashes     []audit.HashRow
}

var _ audit.Source = (*remoteLog)(nil)

const logRoute = "/v1/audit/log/"

// openLog reads the checkpoint. That it is signed is for the verifier to find out.
func openLog(ctx context.Context, c *client.Client) (*remoteLog, error) {
	var me api.Me
	if err := c.Call(ctx, "GET", "/v1/me", nil, &me); err != nil {
		return nil, err
	}
	l := &remoteLog{c: c, tenant: me.Tenant}
	if err := c.Call(ctx, "GET", logRoute+"checkpoint", nil, &l.checkpoint); err != nil {
		return nil, err
	}
	lines := strings.SplitN(string(l.checkpoint), "\n", 3)
	if len(lines) == 3 {
		l.size, _ = strconv.ParseInt(lines[1], 10, 64) // what is no number is no size, see below
	}
	if l.size <= 0 {
		return nil, fault.New(fault.Invalid, "the server's checkpoint is not one")
	}
	return l, nil
}

// Tenants is the one whose log the server shows us.
func (l *remoteLog) Tenants(context.Context) ([]ident.Tenant, error) {
	return []ident.Tenant{l.tenant}, nil
}

// Head has the key that the log's first entry names; a given one goes before.
func (l *remoteLog) Head(ctx context.Context, _ ident.Tenant) (audit.Head, error) {
	if err := l.load(ctx, 1); err != nil {
		return audit.Head{}, err
	}
	if e, err := audit.ParseEntry(l.rows[0].Entry); err == nil {
		l.verifier, _ = e.Fields["verifier"].(string)
	}
	return audit.Head{Size: l.size, Verifier: l.verifier, Checkpoint: l.checkpoint}, nil
}

// Rows gives entries with the columns that they say.
func (l *remoteLog) Rows(ctx context.Context, _ ident.Tenant, from int64, limit int) ([]audit.Row, error) {
	from = max(from, 0) // a reader may begin before all that there can be
	end := min(l.size, from+int64(limit))
	if from >= end {
		return nil, nil
	}
	if err := l.load(ctx, end); err != nil {
		return nil, err
	}
	return l.rows[from:end], nil
}

// HashRows gives the hashes that we made of the entries.
func (l *remoteLog) HashRows(ctx context.Context, _ ident.Tenant, from int64, limit int) ([]audit.HashRow, error) {
	from = max(from, 0)
	end := min(tlog.StoredHashCount(l.size), from+int64(limit))
	if from >= end {
		return nil, nil
	}
	for int64(len(l.hashes)) < end {
		if err := l.load(ctx, min(l.size, int64(len(l.rows))+tileWidth)); err != nil {
			return nil, err
		}
	}
	return l.hashes[from:end], nil
}

// tileWidth is how many entries a full tile has.
const tileWidth = 256

// load fetches tiles until there are n entries.
func (l *remoteLog) load(ctx context.Context, n int64) error {
	for int64(len(l.rows)) < n {
		tile := int64(len(l.rows)) / tileWidth
		width := min(tileWidth, l.size-tile*tileWidth)
		path := strings.TrimPrefix(tlog.Tile{H: 8, L: -1, N: tile, W: int(width)}.Path(), "tile/8/data/")
		var b []byte
		if err := l.c.Call(ctx, "GET", logRoute+"tile/entries/"+path, nil, &b); err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		if err := l.take(b, int(width)); err != nil {
			return err
		}
	}
	return nil
}

// take reads a tile: entries, each after its length in two bytes.
func (l *remoteLog) take(b []byte, width int) error {
	bad := fault.Newf(fault.Invalid, "the server's tile at entry %d is malformed", len(l.rows))
	for range width {
		if len(b) < 2 {
			return bad
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return bad
		}
		if err := l.add(b[2 : 2+n]); err != nil {
			return err
		}
		b = b[2+n:]
	}
	if len(b) > 0 {
		return bad
	}
	return nil
}

func (l *remoteLog) add(b []byte) error {
	i := int64(len(l.rows))
	row := audit.Row{Index: i, Entry: b}
	if e, err := audit.ParseEntry(b); err == nil { // one that can't be read is the verifier's finding
		row.Columns = audit.Columns{At: e.At.UnixMilli(), Type: e.Type, Actor: e.Actor, Run: e.Run, Intent: e.Intent, Connection: e.Connection}
	}
	made, err := tlog.StoredHashesForRecordHash(i, tlog.RecordHash(b), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for k, j := range indexes {
			out[k] = tlog.Hash(l.hashes[j].Hash)
		}
		return out, nil
	}))
	if err != nil {
		return fault.Wrap(fault.Internal, "hashing the audit log", err)
	}
	l.rows = append(l.rows, row)
	for _, h := range made {
		l.hashes = append(l.hashes, audit.HashRow{Index: int64(len(l.hashes)), Hash: h[:]})
	}
	return nil
}
