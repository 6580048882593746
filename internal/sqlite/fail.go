package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"sallyport.dev/internal/fault"
)

// errDamaged marks what says that the database's file is not what was written.
var errDamaged = errors.New("the database is damaged")

// What to do, as hints. None of them promises that nothing was lost.
const (
	hintDamaged  = "stop the server, keep a copy of the whole data directory, and restore a backup; check the disk before"
	hintFull     = "make room on its disk, then restart; what was confirmed before is kept, and this write was not confirmed"
	hintReadOnly = "the server's user has to own the data directory and everything in it, on a disk that is not mounted read-only"
	hintBusy     = "another program has the database open: end it, then try again"
	hintFails    = "look into the system's log for the disk's errors; what was confirmed before is kept, and this write was not confirmed"
)

// meaning says what to do about an error of the driver, and what it is about; nil
// when it is none that people can do something about.
func meaning(err error) (hint string, what error) {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		// The tables are STRICT and say what may not be NULL: a column that is of
		// another type was not written by anybody. The error has no type of its own.
		if strings.HasPrefix(err.Error(), "sql: Scan error") {
			return hintDamaged, errDamaged
		}
		return "", nil
	}
	switch e.Code() {
	case codes.SQLITE_IOERR_WRITE, codes.SQLITE_IOERR_FSYNC, codes.SQLITE_IOERR_TRUNCATE, codes.SQLITE_IOERR_SHMSIZE:
		return hintFull, errors.New("the disk is full, or a limit on the size of files is reached")
	case codes.SQLITE_IOERR_CORRUPTFS:
		return hintDamaged, errDamaged
	}
	switch e.Code() & 0xff { // the primary code
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return hintDamaged, errDamaged
	case codes.SQLITE_FULL:
		return hintFull, errors.New("the disk is full")
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM:
		return hintReadOnly, errors.New("the database can't be opened for writing")
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return hintBusy, errors.New("the database is held by another program")
	case codes.SQLITE_IOERR:
		return hintFails, errors.New("the disk can't be read or written")
	}
	return "", nil
}

// storeErr classifies what the driver says; its text names no value.
func storeErr(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Wrap(fault.NotFound, op, errors.New("no such row"))
	}
	said := fault.Quote(err.Error())
	if hint, what := meaning(err); what != nil {
		return &fault.Error{Kind: fault.Unavailable, Msg: op, Err: fmt.Errorf("%w (the store says: %s)", &because{what}, said), Hint: hint}
	}
	return fault.Wrap(fault.Unavailable, op, fmt.Errorf("the store says: %s", said))
}

// fileErr is for what the system says about a file of the data directory.
func fileErr(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{Kind: fault.Unavailable, Msg: op, Err: err, Hint: hintReadOnly}
}

// Reason is why the store fails, without a path or a name: for who may know that
// it does, and no more. Fixed words.
func Reason(err error) string {
	if e, ok := errors.AsType[*because](err); ok {
		return e.Error()
	}
	return "the server's log says why"
}

// because is what an error of the driver is about.
type because struct{ error }

func (b *because) Unwrap() error { return b.error }
