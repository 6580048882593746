// Command fsck checks a log over HTTP or in a directory with the checker of
// transparency-dev/tessera, which knows nothing of Sallyport: somebody else's
// reading of C2SP tlog-tiles. scripts/fsck.sh runs it. It is a module of its own, so
// that the product does not depend on tessera.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
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
	flag.Parse()
	if err := run(*at, *key, *token); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println("fsck: ok")
}

func run(at, key, token string) error {
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
	return fsck.New(v.Name(), v, src, leaves, fsck.Opts{N: workers}).Check(ctx)
}

// leaves are the leaf hashes of a bundle.
func leaves(bundle []byte) ([][]byte, error) {
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
