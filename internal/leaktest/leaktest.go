// Package leaktest is what the tests share that prove that nothing goes back:
// canaries, the encodings and chunkings in which a hostile system repeats what it
// was given, such a system's answers, and the search for what came through.
//
// The search ([Index]) shares nothing with package scrub: it decodes instead of
// matching derived patterns, and undoes layers until nothing new appears. So a
// mistake in one is not repeated in the other.
//
// A new encoding is a line in Encoders, a new way for an answer to carry text a
// line in Carriers: every suite that walks them has it then. It refuses nothing
// and is imported by tests alone.
//
// # Security
//
// A search that finds nothing proves nothing until it has found something: each
// suite plants canaries where it searches, past the scrubber, and fails when one
// of them is not found.
package leaktest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// Canary is a secret that stands for one way in and one encoding, so that where
// it turns up says how it got there.
type Canary struct {
	Door  string // the way in
	How   string // the encoding that it is sent in
	Kind  string // of value: one of CanaryKinds
	Value string // what is stored as the Secret
	// Parts are what must not be seen of it, each by itself: the password of a
	// connection string, each line of a key.
	Parts []string
	// Whole says that nothing less than a whole part counts, however long.
	Whole bool
}

func (c Canary) String() string { return c.Door + " / " + c.How + " / " + c.Kind }

// CanaryKinds are the shapes of values that the vault takes.
var CanaryKinds = []string{"token", "short", "signs", "long", "key", "dsn", "json"}

// Mint makes the canary of a door, an encoding and a kind: the same each time.
func Mint(door, how, kind string) Canary {
	c := Canary{Door: door, How: how, Kind: kind}
	draw := func(what string, n int) string {
		return random(fmt.Sprint(door, "\x00", how, "\x00", kind, "\x00", what), n)
	}
	core := draw("core", 24)
	c.Parts = []string{core}
	switch kind {
	case "short":
		core = draw("core", 9) + "7"
		c.Value, c.Parts = core, []string{core}
	case "signs":
		c.Value = `"` + core[:8] + `'/<&` + core[8:16] + `>\+=%` + core[16:]
		c.Parts = []string{c.Value}
	case "long":
		c.Value = draw("core", 120)
		c.Parts = []string{c.Value}
	case "key":
		lines := []string{draw("a", 64), draw("b", 64), draw("c", 40)}
		c.Value = "-----BEGIN PRIVATE KEY-----\n" + strings.Join(lines, "\n") + "\n-----END PRIVATE KEY-----\n"
		c.Parts = lines
	case "dsn":
		c.Value = "postgres://app:" + core + "@db.example:5432/erp?sslmode=require"
	case "json":
		c.Value = `{"type":"service_account","project":"erp","private_key_id":"` + draw("id", 20) + `","private_key":"` + core + `"}`
		c.Parts = append(c.Parts, draw("id", 20))
	default:
		c.Value = core
	}
	return c
}

// random draws n letters and digits from a seed.
func random(seed string, n int) string {
	const alphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	var out strings.Builder
	for block := 0; out.Len() < n; block++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(seed, block)))
		v, base, digit := new(big.Int).SetBytes(sum[:]), big.NewInt(int64(len(alphabet))), new(big.Int)
		for range 40 {
			v.DivMod(v, base, digit)
			out.WriteByte(alphabet[digit.Int64()])
		}
	}
	return out.String()[:n]
}

// Basic is the header's value for a user name and a password.
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
