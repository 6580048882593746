package cli_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/cli"
)

func tile(entries ...string) []byte {
	var b []byte
	for _, e := range entries {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	return b
}

// FuzzTile: what a server sends is taken apart into exactly the entries that it
// is made of, or refused.
func FuzzTile(f *testing.F) {
	f.Add(tile("one", "two", ""), 3)
	f.Add(tile("one"), 2)
	f.Add(tile("one", "two"), 1)
	f.Add([]byte{0xff}, 1)
	f.Add([]byte{0xff, 0xff, 1}, 1)
	f.Add([]byte(nil), 0)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		width &= 0xff
		entries, hashes, err := cli.Tile(b, width)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(e))), e...)
		}
		if len(entries) != width || !bytes.Equal(again, b) {
			t.Fatalf("%d entries of %d, from %x", len(entries), width, b)
		}
		if width > 0 && int64(hashes) != tlog.StoredHashCount(int64(width)) {
			t.Fatalf("%d hashes of %d entries", hashes, width)
		}
	})
}

func TestATileThatIsCutOrTooLongIsRefused(t *testing.T) {
	whole := tile("one", "two")
	for _, b := range [][]byte{whole[:len(whole)-1], append(bytes.Clone(whole), 0), whole[:5], nil} {
		if _, _, err := cli.Tile(b, 2); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
	if entries, _, err := cli.Tile(whole, 2); err != nil || len(entries) != 2 || string(entries[1]) != "two" {
		t.Errorf("%q, %v", entries, err)
	}
}
