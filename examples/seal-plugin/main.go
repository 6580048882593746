// Command seal-plugin is an example of a program for an exec seal
// (docs/seals.md): it reads one request on standard input, answers on standard
// output, and ends.
//
// It is a stand-in for a hardware security module, and no replacement of one: it
// encrypts with AES-256-GCM under a key in a file of its own, so that who can
// read that file can unwrap. A real one has seal, open and id call a device or a
// key service, and keeps the rest.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// request is what the server writes.
type request struct {
	V          int    `json:"v"`
	Op         string `json:"op"` // "id", "wrap" or "unwrap"
	AAD        []byte `json:"aad"`
	Plaintext  []byte `json:"plaintext"`
	Ciphertext []byte `json:"ciphertext"`
}

// answer is an id and what was asked for, or an error.
type answer struct {
	V          int      `json:"v"`
	ID         string   `json:"id,omitempty"`
	Ciphertext []byte   `json:"ciphertext,omitempty"`
	Plaintext  []byte   `json:"plaintext,omitempty"`
	Error      *problem `json:"error,omitempty"`
}

// problem has the kind "denied" (the wrong key, associated data or ciphertext),
// "unavailable" (a later try may succeed) or "invalid". Its message goes into the
// server's log: never put plaintext into it.
type problem struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func main() {
	file := flag.String("key-file", "", "file with the key, 32 bytes, mode 0600")
	create := flag.Bool("new", false, "make the key file, and end")
	flag.Parse()
	if *create {
		if err := makeKey(*file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // this is main
		}
		return
	}
	a := serve(os.Stdin, *file)
	a.V = 1
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// makeKey never replaces a key: what it wrapped would be lost.
func makeKey(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	_, err = f.Write(key)
	return errors.Join(err, f.Sync(), f.Close())
}

func refuse(kind, message string) answer { return answer{Error: &problem{kind, message}} }

// serve answers one request.
func serve(in io.Reader, file string) answer {
	var r request
	d := json.NewDecoder(io.LimitReader(in, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.V != 1 {
		return refuse("invalid", "this is not a request of version 1")
	}
	key, err := readKey(file)
	if err != nil {
		return refuse("unavailable", err.Error())
	}
	g, err := aead(key)
	if err != nil {
		return refuse("invalid", "the key can't be used")
	}
	a := answer{ID: id(key)}
	switch {
	case r.Op == "id":
	case len(r.AAD) == 0:
		return refuse("invalid", "the associated data is missing")
	case r.Op == "wrap":
		a.Ciphertext = g.Seal(nil, nil, r.Plaintext, r.AAD) //nolint:gosec // G407: the AEAD makes a random nonce itself and takes none
	case r.Op == "unwrap":
		if a.Plaintext, err = g.Open(nil, nil, r.Ciphertext, r.AAD); err != nil {
			return refuse("denied", "it was not wrapped with this key and associated data")
		}
	default:
		return refuse("invalid", "the operation is not known")
	}
	return a
}

func readKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.New("the key file can't be opened")
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.New("the key file is not a file that its owner alone can use")
	}
	key, err := io.ReadAll(io.LimitReader(f, 33))
	if err != nil || len(key) != 32 {
		return nil, errors.New("the key file does not have 32 bytes")
	}
	return key, nil
}

// id names the key without saying anything about it.
func id(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("seal-plugin id"))
	return "seal-plugin/" + hex.EncodeToString(m.Sum(nil)[:8])
}

func aead(key []byte) (cipher.AEAD, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(c)
}
