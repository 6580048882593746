package sqlite_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"sallyport.dev/internal/sqlite"
)

// FuzzLost: a log is never called lost when nothing was committed in it, always
// when it is not there and something was, and a longer one never more than a
// shorter one.
func FuzzLost(f *testing.F) {
	header := make([]byte, 48)
	header[12], header[15] = 1, 16 // counts, and pages of 4096 bytes
	binary.LittleEndian.PutUint32(header[16:], 3)
	index := append(append(bytes.Clone(header), header...), 0, 0, 0, 0)
	f.Add(index, make([]byte, 32), int64(32+3*(24+4096)))
	f.Add(index, make([]byte, 32), int64(100))
	f.Add(index[:50], []byte{}, int64(-1))
	f.Fuzz(func(t *testing.T, index, head []byte, size int64) {
		got := sqlite.Lost(index, head, size)
		if got && size < 1<<40 && !sqlite.Lost(index, head, max(size/2, -1)) && size > 0 {
			t.Error("half of it is there, and it was called lost when all of it was")
		}
		if got && !sqlite.Lost(index, nil, -1) {
			t.Error("it is lost, and not lost when there is none")
		}
		if got && (len(index) < 100 || binary.LittleEndian.Uint32(index[16:]) == 0) {
			t.Error("nothing was committed in it")
		}
	})
}

func FuzzHolder(f *testing.F) {
	f.Add("process 12\ndatabase\n")
	f.Add("process -1\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if got := sqlite.Holder(text); got != "" && (!strings.HasPrefix(got, " (its id is ") || len(got) > 40) {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}
