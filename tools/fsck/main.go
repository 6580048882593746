// Command fsck checks a log over HTTP or in a directory with the checker of
// transparency-dev/tessera, which knows nothing of Sallyport: somebody else's
// reading of C2SP tlog-tiles. scripts/fsck.sh runs it. It is a module of its own, so
// that the product does not depend on tessera.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// workers is above the number of tiles of any log that is checked with it: with
// fewer, the checker waits for ever once a worker has met a bad tile.
const workers = 4096

func main() {
	at := flag.String("url", "", "the log: https://... or file:///...")
	key := flag.String("key", "", "its note verifier key")
	token := flag.String("token", "", "a bearer token, where one is needed")
	minimum := flag.Uint64("minimum", 0, "the minimum index of a pruned log")
	flag.Parse()
	if err := run(*at, *key, *token, *minimum); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println("fsck: ok")
}

func run(at, key, token string, minimum uint64) error {
	v, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	var src fsck.Fetcher = client.FileFetcher{Root: u.Path}
	if u.Scheme != "file" {
		h, err := client.NewHTTPFetcher(u, http.DefaultClient)
		if err != nil {
			return err
		}
		if token != "" {
			h.SetAuthorizationHeader("Bearer " + token)
		}
		src = h
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return fsck.New(v.Name(), v, pruned{src, minimum}, leaves, fsck.Opts{N: workers}).Check(ctx)
}

// pruned gives, in place of bundles below the minimum index, which a pruned log has
// not, the leaf hashes of their tiles: the checker then looks at the tree as it is,
// and at every entry that is left.
type pruned struct {
	fsck.Fetcher
	minimum uint64
}

// hashes begins what is no bundle: no entry of ours is so long.
var hashes = []byte{0xff, 0xff}

func (p pruned) ReadEntryBundle(ctx context.Context, i uint64, w uint8) ([]byte, error) {
	if i*layout.EntryBundleWidth >= p.minimum {
		return p.Fetcher.ReadEntryBundle(ctx, i, w)
	}
	tile, err := p.ReadTile(ctx, 0, i, w)
	return append(hashes[:2:2], tile...), err
}

// leaves are the leaf hashes of a bundle.
func leaves(bundle []byte) ([][]byte, error) {
	if rest, ok := bytes.CutPrefix(bundle, hashes); ok {
		var t api.HashTile
		err := t.UnmarshalText(rest)
		return t.Nodes, err
	}
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}
