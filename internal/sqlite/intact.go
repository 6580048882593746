package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"sallyport.dev/internal/fault"
)

// The layout of SQLite's files (sqlite.org/walformat.html). The shared-memory
// file is in the machine's own byte order, which is little-endian on every
// system that we build for.
const (
	walHeader    = 32 // bytes of the write-ahead log's header
	walFrame     = 24 // bytes before each page in it
	indexHeader  = 48 // bytes of the shared-memory file's header, which is there twice
	indexFrames  = 16 // where the header counts the frames that were committed
	indexPage    = 14 // where it has the page size
	indexSalt    = 32 // where it has what tells one log from the next
	indexStarted = 12 // where it says that it counts at all
)

// checkLog finds a write-ahead log that was taken away or cut while the server
// was down. SQLite would go on without it, and so without what was committed
// last. The shared-memory file that a killed process left behind counts the
// frames that were committed, so their absence is noticed; where that file is
// gone as well, only an audit checkpoint that was kept elsewhere tells.
func checkLog(path string) error {
	index, err := readUpTo(path+"-shm", 2*indexHeader+4)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileErr("reading the database's shared-memory file", err)
	}
	size := int64(-1)
	if info, err := os.Stat(path + "-wal"); err == nil {
		size = info.Size()
	}
	head, err := readUpTo(path+"-wal", walHeader)
	if err != nil {
		head, size = nil, -1
	}
	if !lost(index, head, size) {
		return nil
	}
	return fault.Newf(fault.Unavailable, "the database's write-ahead log %s-wal is gone, cut or another one: the last process was killed, and what it committed last was in there", path).
		WithHint("put the file back, or restore a backup; to go on without what was committed last, remove %s-shm and look at what is missing with the audit log's checkpoints", path)
}

// lost reports whether a log of size bytes, which begins with head, lacks frames
// that index, the begin of the shared-memory file, counts as committed and not
// yet in the database. What can't be read counts nothing.
func lost(index, head []byte, size int64) bool {
	if len(index) < 2*indexHeader+4 || !bytes.Equal(index[:indexHeader], index[indexHeader:2*indexHeader]) || index[indexStarted] == 0 {
		return false // it was being written: SQLite makes it again of the log
	}
	frames, done := binary.LittleEndian.Uint32(index[indexFrames:]), binary.LittleEndian.Uint32(index[2*indexHeader:])
	if frames <= done {
		return false
	}
	page := int64(binary.LittleEndian.Uint16(index[indexPage:]))
	if page == 1 {
		page = 65536
	}
	return len(head) < walHeader || size < walHeader+int64(frames)*(walFrame+page) ||
		!bytes.Equal(head[16:24], index[indexSalt:indexSalt+8])
}

// readUpTo reads the first n bytes of a file, or what it has.
func readUpTo(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, int64(n)))
}

// endless are the tables that grow with every call. They are not read through at
// a start; damage in them is found by what reads the row, and in the audit log by
// its verification.
var endless = []string{"audit_entry", "audit_hash", "observation", "transcript", "intent", "decision", "intent_revision", "decision_note", "run"}

// verified are the tables whose every row the vault checks itself, against the
// register that counts them: reading ten thousand Secrets twice would double the
// time of a start.
var verified = []string{"vault_secret", "vault_version"}

// checkTables reads through every other table and its indexes: an index that is
// damaged would hide rows, and nothing would say so.
func checkTables(ctx context.Context, db *sql.DB) error {
	names, err := tableNames(ctx, db)
	if err != nil {
		return storeErr("looking through the database", err)
	}
	for _, name := range names {
		if slices.Contains(endless, name) || slices.Contains(verified, name) {
			continue
		}
		var said string
		if err := db.QueryRowContext(ctx, "SELECT integrity_check FROM pragma_integrity_check($1) LIMIT 1", name).Scan(&said); err != nil {
			return storeErr("looking through the table "+fault.Quote(name), err)
		}
		if said != "ok" {
			return &fault.Error{Kind: fault.Unavailable, Msg: "looking through the table " + fault.Quote(name),
				Err: fmt.Errorf("%w (the store says: %s)", errDamaged, fault.Quote(said)), Hint: hintDamaged}
		}
	}
	return nil
}

// tableNames lists the tables that are ours.
func tableNames(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
