package audit

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// tileHeight is fixed by C2SP tlog-tiles: 256 hashes or entries in a full tile.
const tileHeight = 8

// entriesLevel is tlog's level of the tiles that hold the entries themselves.
const entriesLevel = -1

// Handler serves one tenant's log by the C2SP tlog-tiles read API: GET
// /checkpoint, /tile/<L>/<N>[.p/<W>] and /tile/entries/<N>[.p/<W>]; and the last
// checkpoint that witnesses cosigned, at /cosigned. Whoever mounts it has
// authenticated the caller as an auditor of that tenant.
//
// Only what the current checkpoint covers is served; all else is 404.
func Handler(r Reader, t ident.Tenant) http.Handler {
	h := tiles{r, t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", h.checkpoint)
	mux.HandleFunc("GET /cosigned", h.cosigned)
	mux.HandleFunc("GET /tile/{path...}", h.tile)
	return mux
}

type tiles struct {
	r Reader
	t ident.Tenant
}

func (h tiles) checkpoint(w http.ResponseWriter, req *http.Request) {
	head, err := h.r.Head(req.Context(), h.t)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, "text/plain; charset=utf-8", head.Checkpoint)
}

// cosigned is the last checkpoint that witnesses cosigned. It is not of the C2SP
// API: the log goes on between two visits to its witnesses, and who reads it wants
// the newest checkpoint.
func (h tiles) cosigned(w http.ResponseWriter, req *http.Request) {
	msg, err := h.r.Cosigned(req.Context(), h.t)
	if err == nil && msg == nil {
		err = fault.New(fault.NotFound, "no witness has cosigned the log")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, "text/plain; charset=utf-8", msg)
}

func (h tiles) tile(w http.ResponseWriter, req *http.Request) {
	tile, err := parseTilePath(req.PathValue("path"))
	if err != nil {
		refuse(w, err)
		return
	}
	head, err := h.r.Head(req.Context(), h.t)
	if err != nil {
		refuse(w, err)
		return
	}
	if have := head.Size >> (tileHeight * max(tile.L, 0)); tile.N > have>>tileHeight || tile.N<<tileHeight+int64(tile.W) > have {
		refuse(w, fault.New(fault.NotFound, "the log has no such tile"))
		return
	}
	data, err := h.data(req, tile)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=604800, immutable")
	send(w, "application/octet-stream", data)
}

func (h tiles) data(req *http.Request, tile tlog.Tile) ([]byte, error) {
	if tile.L != entriesLevel {
		return tlog.ReadTileData(tile, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			return h.r.Hashes(req.Context(), h.t, indexes)
		}))
	}
	rows, err := h.r.List(req.Context(), h.t, Filter{}, tile.N<<tileHeight, tile.W)
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

// parseTilePath reads what follows "tile/" in the API's paths, in its one form.
// tlog knows it as "<height>/<level>/…", with "data" for the entries.
func parseTilePath(p string) (tlog.Tile, error) {
	bad := fault.New(fault.NotFound, "the log has no such tile")
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
	_, _ = w.Write(data) //nolint:gosec // G705: no browser makes a page of it, by its type and nosniff
}
