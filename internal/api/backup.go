package api

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// BackupRequest asks for a backup with a fresh proof: a session's token alone
// makes none.
type BackupRequest struct {
	Why      string `json:"why,omitempty"` // one line, for the audit log
	Password string `json:"password"`
	Code     string `json:"code"` // one-time code
}

// BackupDigest is the trailer with the SHA-256 of all bytes of the answer, in hex.
const BackupDigest = "Sallyport-Backup-Sha256"

// backupWrite is how long one write of a backup waits for a client that takes
// nothing: as long as it waits, the server's write-ahead log grows.
const backupWrite = 30 * time.Second

// backups adds the one route whose answer is a file.
func (a *API) backups() {
	rt := route{method: "POST", pattern: "/v1/backup", access: with(ident.Admin), status: http.StatusOK, media: "application/octet-stream",
		summary: "A backup of everything, encrypted to the vault's seals; with password and one-time code",
		req:     reflect.TypeFor[BackupRequest](), resp: reflect.TypeFor[io.Reader]()}
	a.routes = append(a.routes, rt)
	a.mux.HandleFunc(rt.method+" "+rt.pattern, func(w http.ResponseWriter, r *http.Request) {
		who, err := a.caller(r, rt.access)
		var in BackupRequest
		if err == nil {
			err = decode(w, r, &in)
		}
		if err == nil && (in.Password == "" || in.Code == "") {
			err = fault.New(fault.Invalid, "a backup takes the password and a one-time code")
		}
		if err != nil {
			a.problem(w, r, err)
			return
		}
		out := &download{w: w, rc: http.NewResponseController(w), media: rt.media, sum: sha256.New()}
		err = a.Backuper.Backup(r.Context(), who, in.Password, in.Code, in.Why, out)
		switch {
		case err == nil:
			w.Header().Set(BackupDigest, hex.EncodeToString(out.sum.Sum(nil)))
		case !out.begun:
			a.problem(w, r, err)
		default:
			a.Log.ErrorContext(r.Context(), "a backup was not finished", slog.Any("kind", fault.KindOf(err)), slog.Any("error", err))
			panic(http.ErrAbortHandler) // the client has to see that it was cut
		}
	})
}

// download is an answer that begins with its first byte.
type download struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	media string
	sum   hash.Hash
	begun bool
}

func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		d.w.Header().Set("Content-Type", d.media)
		d.w.Header().Set("Trailer", BackupDigest)
		d.w.WriteHeader(http.StatusOK)
	}
	_ = d.rc.SetWriteDeadline(time.Now().Add(backupWrite))
	n, err := d.w.Write(b)
	d.sum.Write(b[:n])
	return n, err
}
