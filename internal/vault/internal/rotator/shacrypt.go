package rotator

import (
	"bytes"
	"crypto/sha256"
)

// MySQL's caching_sha2_password keeps of a password what crypt(3) calls SHA-256
// crypt, with 5000 rounds and a salt of 20 characters: "$A$005$", the salt, 43
// characters. With it the password is in no statement and no log of the server.
const (
	cachingMark   = "$A$005$" // 005 is 5000 rounds, by the thousand, in hex
	cachingRounds = 5000
	cachingSalt   = 20
)

// cachingHash is the string that goes into a statement. The salt has no quote.
func cachingHash(password, salt []byte) string {
	return cachingMark + string(salt) + shaCrypt(password, salt, cachingRounds)
}

// shaCrypt is the digest of SHA-256 crypt (Ulrich Drepper, "Unix crypt using SHA-256
// and SHA-512", 2007), without its prefix and salt.
func shaCrypt(password, salt []byte, rounds int) string {
	second := sha(password, salt, password)
	first := [][]byte{password, salt, stretched(second, len(password))}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			first = append(first, second)
		} else {
			first = append(first, password)
		}
	}
	sum := sha(first...)
	p := stretched(sha(bytes.Repeat(password, len(password))), len(password))
	s := stretched(sha(bytes.Repeat(salt, 16+int(sum[0]))), len(salt))
	defer clear(p)
	for i := range rounds {
		parts := [][]byte{sum}
		if i&1 != 0 {
			parts[0] = p
		}
		if i%3 != 0 {
			parts = append(parts, s)
		}
		if i%7 != 0 {
			parts = append(parts, p)
		}
		if i&1 != 0 {
			parts = append(parts, sum)
		} else {
			parts = append(parts, p)
		}
		sum = sha(parts...)
	}
	return crypt64(sum)
}

func sha(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash takes everything
	}
	return h.Sum(nil)
}

// stretched is n bytes of b, over and over.
func stretched(b []byte, n int) []byte {
	return bytes.Repeat(b, n/len(b)+1)[:n]
}

// crypt64 writes a digest as crypt(3) does: three bytes at a time, each group 10
// further on, the lowest six bits first.
func crypt64(sum []byte) string {
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out []byte
	put := func(w uint, n int) {
		for ; n > 0; n-- {
			out, w = append(out, digits[w&63]), w>>6
		}
	}
	a, b, c := 0, 10, 20
	for range 10 {
		put(uint(sum[a])<<16|uint(sum[b])<<8|uint(sum[c]), 4)
		a, b, c = c+1, a+1, b+1
	}
	put(uint(sum[31])<<8|uint(sum[30]), 3)
	return string(out)
}
