package system

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// maxRecord bounds one line of a journal.
const maxRecord = 1 << 20

// Journal is an append-only file of JSON lines. When Append returns nil the
// record is on disk; when it returns an error it is not there after a restart,
// or the journal refuses everything from then on.
type Journal[T any] struct {
	mu   sync.Mutex
	f    *os.File
	size int64 // all bytes before it are whole records
	err  error // set once the file's end can't be trusted any more
}

// OpenJournal opens or makes the file and reads its records. A last line
// without its newline is what a crash leaves of an append that was never
// acknowledged: it is cut off. Any other line that can't be read is an error.
func OpenJournal[T any](path string) (*Journal[T], []T, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal[T]{f: f}
	records, err := j.load()
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading the journal %s: %w", filepath.Base(path), err), f.Close())
	}
	return j, records, nil
}

func (j *Journal[T]) load() ([]T, error) {
	var records []T
	r := bufio.NewReaderSize(j.f, maxRecord)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			if err := j.f.Truncate(j.size); err != nil {
				return nil, err
			}
			_, err := j.f.Seek(j.size, io.SeekStart)
			return records, err
		case err != nil:
			return nil, err
		}
		var rec T
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&rec); err != nil || d.More() {
			return nil, fmt.Errorf("record %d is not one JSON value of its kind", len(records)+1)
		}
		records = append(records, rec)
		j.size += int64(len(line))
	}
}

// Append writes one record and waits until it is on disk.
func (j *Journal[T]) Append(rec T) error {
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	if len(line) >= maxRecord {
		return errors.New("the record is too long for the journal")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	_, err = j.f.Write(append(line, '\n'))
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// After a failed fsync nobody knows what is on disk: a restart decides.
		j.err = fmt.Errorf("writing the journal: %w", err)
		return errors.Join(j.err, j.f.Truncate(j.size))
	}
	j.size += int64(len(line)) + 1
	return nil
}

// Close closes the file.
func (j *Journal[T]) Close() error { return j.f.Close() }

// syncDir makes a new file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
