package audit

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// TileSource is a log for verification, read by the tlog-tiles API: from a server,
// or from a directory that it was saved to. Of a log of any length it keeps a few
// tiles.
type TileSource struct {
	get        Getter
	tenant     ident.Tenant
	checkpoint []byte
	size       int64
	bundle     tileCache[Row]
	minimum    int64 // entries below it are gone, but for kept
	kept       []Row
	tiles      map[int]*tileCache[*tlog.Hash] // by level; nil where there is no hash
	// next is the entry whose hashes come next, and left those of the ones before
	// it that nobody has taken yet.
	next int64
	edge edge
	left []HashRow
	torn bool // an entry and its hash are both gone: what is made of them is nothing
}

// maxGone is how many tiles in a row may be gone before the log ends there: what
// size an unsigned checkpoint says must not keep a verifier busy.
const maxGone = 64

var _ Source = (*TileSource)(nil)

// tileCache is the last tile that was read.
type tileCache[T any] struct {
	n     int64
	items []T // nil: none was read
}

// OpenTiles reads the checkpoint, which says whose log it is. That it is signed is
// for [Verify] to find out. Invalid: there is no checkpoint of a log.
func OpenTiles(ctx context.Context, get Getter) (*TileSource, error) {
	msg, err := get(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	c, err := unsignedCheckpoint(msg)
	if err != nil || tenantOf(c.Origin) == "" || c.Size > maxSize {
		return nil, fault.New(fault.Invalid, "the checkpoint is not one of an audit log")
	}
	s := &TileSource{get: get, tenant: tenantOf(c.Origin), checkpoint: msg, size: c.Size, tiles: map[int]*tileCache[*tlog.Hash]{}}
	switch b, err := get(ctx, keptPath); {
	case err == nil: // what can't be read says nothing: then the entries are missing
		s.minimum, s.kept, _ = ParseKept(b, c.Size)
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	return s, nil
}

// Minimum is the index below which entries are said to be pruned.
func (s *TileSource) Minimum(context.Context, ident.Tenant) (int64, error) { return s.minimum, nil }

// Size is how many entries the checkpoint says.
func (s *TileSource) Size() int64 { return s.size }

// Tenants is the one whose log it is.
func (s *TileSource) Tenants(context.Context) ([]ident.Tenant, error) {
	return []ident.Tenant{s.tenant}, nil
}

// Head has no key: the log's entries name it.
func (s *TileSource) Head(context.Context, ident.Tenant) (Head, error) {
	return Head{Size: s.size, Checkpoint: s.checkpoint}, nil
}

// Cosigned gives the last checkpoint that witnesses cosigned.
func (s *TileSource) Cosigned(ctx context.Context, _ ident.Tenant) ([]byte, error) {
	msg, err := s.get(ctx, "cosigned")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return msg, err
}

// Rows gives entries of one bundle, with the columns that they say.
func (s *TileSource) Rows(ctx context.Context, _ ident.Tenant, from int64, limit int) ([]Row, error) {
	from = max(from, 0)
	if from < s.minimum {
		at, _ := slices.BinarySearchFunc(s.kept, from, func(r Row, from int64) int { return cmp.Compare(r.Index, from) })
		if at < len(s.kept) {
			return s.kept[at:min(len(s.kept), at+limit)], nil
		}
		from = s.minimum
	}
	for range maxGone {
		if from >= s.size {
			break
		}
		if err := s.loadBundle(ctx, from>>tileHeight); err != nil {
			return nil, err
		}
		if i := int(from & (tileWidth - 1)); i < len(s.bundle.items) {
			return s.bundle.items[i:min(len(s.bundle.items), i+limit)], nil
		}
		from = (from>>tileHeight + 1) << tileHeight
	}
	return nil, nil
}

func (s *TileSource) loadBundle(ctx context.Context, n int64) error {
	if s.bundle.items != nil && s.bundle.n == n {
		return nil
	}
	data, err := s.get(ctx, tilePath(s.tile(entriesLevel, n)))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	s.bundle = tileCache[Row]{n, []Row{}}
	for i, b := range Bundle(data, s.tile(entriesLevel, n).W) {
		s.bundle.items = append(s.bundle.items, rowOf(n<<tileHeight+int64(i), b))
	}
	return nil
}

// tile is a tile of the log as long as it is.
func (s *TileSource) tile(level int, n int64) tlog.Tile {
	have := s.size >> (tileHeight * max(level, 0))
	return tlog.Tile{H: tileHeight, L: level, N: n, W: int(max(0, min(tileWidth, have-n<<tileHeight)))}
}

// Bundle takes a bundle of at most width entries apart. What follows the last entry
// that can be read is one entry more: whoever verifies finds that it is none.
func Bundle(b []byte, width int) (entries [][]byte) {
	for len(b) > 0 && len(entries) < width {
		n := 2
		if len(b) >= 2 {
			n = 2 + int(binary.BigEndian.Uint16(b))
		}
		if n > len(b) || len(b) < 2 || len(entries) == width-1 && n < len(b) {
			return append(entries, b)
		}
		entries = append(entries, b[2:n])
		b = b[n:]
	}
	return entries
}

// HashRows gives the stored hashes. Those that tiles have are the tiles'; those
// between are made of the leaves.
func (s *TileSource) HashRows(ctx context.Context, _ ident.Tenant, from int64, limit int) ([]HashRow, error) {
	for range maxGone * tileWidth {
		for len(s.left) > 0 && s.left[0].Index < from {
			s.left = s.left[1:]
		}
		if len(s.left) > 0 || s.next >= s.size {
			n := min(limit, len(s.left))
			return s.left[:n], nil
		}
		if err := s.add(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// add makes the hashes that the next entry completes.
func (s *TileSource) add(ctx context.Context) error {
	i := s.next
	leaf, err := s.hash(ctx, 0, i)
	if err != nil {
		return err
	}
	made := leaf
	if made == nil { // the tile is gone: its inner hashes are those of the entries
		rows, err := s.Rows(ctx, s.tenant, i, 1)
		if err != nil {
			return err
		}
		made = new(tlog.Hash)
		if s.torn = s.torn || len(rows) != 1 || rows[0].Index != i; !s.torn {
			*made = tlog.RecordHash(rows[0].Entry)
		}
	}
	var nodes []tlog.Hash
	s.edge, nodes = s.edge.add(*made, nil)
	s.next++
	first := tlog.StoredHashIndex(0, i)
	for k, h := range nodes {
		stored := &h
		if s.torn {
			stored = nil
		}
		if k%tileHeight == 0 {
			if stored, err = s.hash(ctx, k/tileHeight, i>>k); err != nil {
				return err
			}
		}
		if stored != nil {
			s.left = append(s.left, HashRow{first + int64(k), stored[:]})
		}
	}
	return nil
}

// hash is hash n of a level of tiles, nil where the tile has none.
func (s *TileSource) hash(ctx context.Context, level int, n int64) (*tlog.Hash, error) {
	c := s.tiles[level]
	if c == nil {
		c = &tileCache[*tlog.Hash]{}
		s.tiles[level] = c
	}
	if c.items == nil || c.n != n>>tileHeight {
		tile := s.tile(level, n>>tileHeight)
		data, err := s.get(ctx, tilePath(tile))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		c.n, c.items = tile.N, make([]*tlog.Hash, tileWidth)
		for i := range tile.W {
			if len(data) == tile.W*tlog.HashSize {
				h := tlog.Hash(data[i*tlog.HashSize:][:tlog.HashSize])
				c.items[i] = &h
			}
		}
	}
	return c.items[n&(tileWidth-1)], nil
}
