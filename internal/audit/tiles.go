package audit

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Fixed by C2SP tlog-tiles: 256 hashes or entries in a full tile.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

var errNoTile error = fault.New(fault.NotFound, "the log has no such tile")

// entriesLevel is tlog's level of the tiles that hold the entries themselves.
const entriesLevel = -1

// Handler serves one tenant's log by the C2SP tlog-tiles read API: GET
// /checkpoint, /tile/<L>/<N>[.p/<W>] and /tile/entries/<N>[.p/<W>]; and, beside
// it, the last checkpoint that witnesses cosigned, at /cosigned, and receipts, at
// /receipt/<index>. Whoever mounts it has authenticated the caller as an auditor of
// that tenant.
//
// Only what the current checkpoint covers is served; all else is 404.
func Handler(r Reader, t ident.Tenant) http.Handler {
	h := tiles{r, t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", h.checkpoint)
	mux.HandleFunc("GET /cosigned", h.cosigned)
	mux.HandleFunc("GET /kept", h.kept)
	mux.HandleFunc("GET /receipt/{index}", h.receipt)
	mux.HandleFunc("GET /tile/{path...}", h.tile)
	return mux
}

type tiles struct {
	r Reader
	t ident.Tenant
}

func (h tiles) checkpoint(w http.ResponseWriter, req *http.Request) {
	h.mutable(w, req, "checkpoint")
}

// cosigned is the last checkpoint that witnesses cosigned. It is not of the C2SP
// API: the log goes on between two visits to its witnesses, and who reads it wants
// the newest checkpoint.
func (h tiles) cosigned(w http.ResponseWriter, req *http.Request) {
	h.mutable(w, req, "cosigned")
}

// kept is the minimum index, and the entries below it that are kept.
func (h tiles) kept(w http.ResponseWriter, req *http.Request) {
	h.mutable(w, req, keptPath)
}

// receipt is the receipt of one entry.
func (h tiles) receipt(w http.ResponseWriter, req *http.Request) {
	i, err := strconv.ParseInt(req.PathValue("index"), 10, 64)
	if err != nil || strconv.FormatInt(i, 10) != req.PathValue("index") {
		refuse(w, fault.New(fault.NotFound, "there is no such entry"))
		return
	}
	r, err := Prove(req.Context(), h.r, h.t, i)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, plainText, r.Marshal())
}

func (h tiles) mutable(w http.ResponseWriter, req *http.Request, path string) {
	data, err := Files(h.r, h.t)(req.Context(), path)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, plainText, data)
}

func (h tiles) tile(w http.ResponseWriter, req *http.Request) {
	data, err := Files(h.r, h.t)(req.Context(), "tile/"+req.PathValue("path"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=604800, immutable")
	if strings.HasPrefix(req.PathValue("path"), "entries/") { // hashes don't compress
		w.Header().Set("Vary", "Accept-Encoding")
		if takesGzip(req.Header.Get("Accept-Encoding")) {
			w.Header().Set("Content-Encoding", "gzip")
			data = zipped(data)
		}
	}
	send(w, "application/octet-stream", data)
}

// takesGzip says whether a client that sends this header takes gzip.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, q, weighted := strings.Cut(strings.ReplaceAll(strings.ToLower(one), " ", ""), ";")
		if name == "gzip" {
			return !weighted || strings.Trim(strings.TrimPrefix(q, "q="), "0.") != ""
		}
	}
	return false
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // to memory
	_ = z.Close()
	return b.Bytes()
}

const plainText = "text/plain; charset=utf-8"

// A Getter gives what is at a path of the tlog-tiles API, without a slash before
// it. NotFound: there is nothing.
type Getter func(ctx context.Context, path string) ([]byte, error)

// Files gives the files of a tenant's log as the API serves them.
func Files(r Reader, t ident.Tenant) Getter {
	return func(ctx context.Context, path string) ([]byte, error) {
		if path == "cosigned" {
			msg, err := r.Cosigned(ctx, t)
			if err == nil && msg == nil {
				err = fault.New(fault.NotFound, "no witness has cosigned the log")
			}
			return msg, err
		}
		if path == keptPath {
			return keptFile(ctx, r, t)
		}
		head, err := r.Head(ctx, t)
		if err != nil {
			return nil, err
		}
		if path == "checkpoint" {
			return head.Checkpoint, nil
		}
		rest, ok := strings.CutPrefix(path, "tile/")
		if !ok {
			return nil, errNoTile
		}
		tile, err := parseTilePath(rest)
		if err != nil {
			return nil, err
		}
		if have := head.Size >> (tileHeight * max(tile.L, 0)); tile.N > have>>tileHeight || tile.N<<tileHeight+int64(tile.W) > have {
			return nil, errNoTile
		}
		return tileData(ctx, r, t, tile)
	}
}

func tileData(ctx context.Context, r Reader, t ident.Tenant, tile tlog.Tile) ([]byte, error) {
	if tile.L != entriesLevel {
		data, err := tlog.ReadTileData(tile, hashesOf(ctx, r, t))
		if err != nil {
			return nil, readingTree(err)
		}
		return data, nil
	}
	if p, err := LastPruned(ctx, r, t); err != nil || tile.N<<tileHeight < p.Minimum {
		return nil, cmp.Or(err, errNoTile)
	}
	rows, err := r.List(ctx, t, Filter{}, tile.N<<tileHeight, tile.W)
	if err != nil {
		return nil, err
	}
	var out []byte
	for i, row := range rows {
		if row.Index != tile.N<<tileHeight+int64(i) || len(row.Entry) > MaxEntry {
			return nil, ErrDiverged
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(row.Entry))), row.Entry...)
	}
	if len(rows) != tile.W {
		return nil, ErrDiverged
	}
	return out, nil
}

// tilePath is where the API has a tile, without a slash before it.
func tilePath(tile tlog.Tile) string {
	level, p := strconv.Itoa(tile.L), strings.TrimPrefix(tile.Path(), "tile/"+strconv.Itoa(tileHeight)+"/")
	if tile.L == entriesLevel {
		level = "data"
	}
	p = strings.TrimPrefix(p, level)
	if level == "data" {
		level = "entries"
	}
	return "tile/" + level + p
}

// tilesOf lists the tiles of a level of a log of so many entries.
func tilesOf(level int, size int64, each func(tlog.Tile) error) error {
	have := size >> (tileHeight * max(level, 0))
	for n := int64(0); n<<tileHeight < have; n++ {
		if err := each(tlog.Tile{H: tileHeight, L: level, N: n, W: int(min(tileWidth, have-n<<tileHeight))}); err != nil {
			return err
		}
	}
	return nil
}

// MaxTile is the most bytes in a tile of either sort.
const MaxTile = tileWidth * (2 + MaxEntry)

// SaveTiles reads a log's checkpoint and every tile of it, and the cosigned
// checkpoint if there is one, and hands each to keep under its path. What
// verifies them needs nothing else.
func SaveTiles(ctx context.Context, get Getter, keep func(path string, data []byte) error) (Checkpoint, error) {
	msg, err := get(ctx, "checkpoint")
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := unsignedCheckpoint(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	minimum := int64(0)
	switch kept, err := get(ctx, keptPath); {
	case err == nil:
		if minimum, _, _ = ParseKept(kept, c.Size); minimum > 0 { // else it was pruned meanwhile
			err = keep(keptPath, kept)
		}
		if err != nil {
			return Checkpoint{}, err
		}
	case !fault.Is(err, fault.NotFound):
		return Checkpoint{}, err
	}
	one := func(tile tlog.Tile) error {
		if tile.L == entriesLevel && tile.N<<tileHeight < minimum {
			return nil
		}
		data, err := get(ctx, tilePath(tile))
		if err != nil {
			return fault.Wrap(fault.KindOf(err), "reading "+tilePath(tile), err)
		}
		return keep(tilePath(tile), data)
	}
	for level := entriesLevel; c.Size>>(tileHeight*max(level, 0)) > 0; level++ {
		if err := tilesOf(level, c.Size, one); err != nil {
			return Checkpoint{}, err
		}
	}
	cosigned, err := get(ctx, "cosigned")
	if err == nil {
		if oc, oerr := unsignedCheckpoint(cosigned); oerr == nil && oc.Size <= c.Size { // else it came meanwhile
			err = keep("cosigned", cosigned)
		}
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Checkpoint{}, err
	}
	return c, keep("checkpoint", msg) // last: without it there is no log there
}

// parseTilePath reads what follows "tile/" in the API's paths, in its one form.
// tlog knows it as "<height>/<level>/…", with "data" for the entries.
func parseTilePath(p string) (tlog.Tile, error) {
	bad := errNoTile
	level, rest, _ := strings.Cut(p, "/")
	switch l, err := strconv.Atoi(level); {
	case level == "entries":
		level = "data"
	case err != nil || l < 0 || l > 5 || len(level) != 1:
		return tlog.Tile{}, bad
	}
	if len(rest) > 64 {
		return tlog.Tile{}, bad
	}
	t, err := tlog.ParseTilePath("tile/" + strconv.Itoa(tileHeight) + "/" + level + "/" + rest)
	if err != nil || t.N < 0 || t.N > 1<<54 { // so that no shift below overflows
		return tlog.Tile{}, bad
	}
	return t, nil
}

// refuse answers without detail: this is a plain file server to its clients.
func refuse(w http.ResponseWriter, err error) {
	if fault.Is(err, fault.NotFound) {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	http.Error(w, "the log can't be read now", http.StatusServiceUnavailable)
}

func send(w http.ResponseWriter, contentType string, data []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// An error says that the client went away: nobody to tell.
	_, _ = w.Write(data)
}
