// Package stream encrypts a stream of any length under one key: chunks of 64 KiB,
// each of them an AES-256-GCM message of its own whose associated data says what
// the stream is bound to, which chunk of it this is, and whether it is the last
// (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar).
//
// It refuses a stream that is cut short, goes on after its last chunk, has a
// chunk in another place, twice or not at all, or belongs to something else. A
// Reader gives out the bytes of a chunk only after it has authenticated them; what
// it has given out before it meets a bad chunk was the beginning of that stream.
//
// # Security
//
// The key is for one stream: who makes one derives a fresh key. Place and last
// chunk are in the associated data rather than in the nonce, which is random and
// written before each chunk: the FIPS 140 module gives no other kind to programs.
// Under one key that allows 2^32 chunks, which is 256 TiB.
package stream

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"

	"sallyport.dev/internal/fault"
)

// Sizes, in bytes.
const (
	KeySize   = 32
	ChunkSize = 64 << 10 // of plaintext; the last chunk may be shorter
	Overhead  = 12 + 16  // of each chunk: nonce and tag
	maxChunks = 1 << 32  // that random nonces allow
)

// Length is how long a stream of size bytes is when it is encrypted.
func Length(size int64) int64 {
	chunks := max(1, (size+ChunkSize-1)/ChunkSize)
	return size + chunks*Overhead
}

// What a stream is refused for.
var (
	errCut     = fault.New(fault.Invalid, "it ends too early: it was cut short").WithHint("copy or make it again")
	errAltered = fault.New(fault.Invalid, "it is not as it was written: bytes were changed, moved, added or taken away").
			WithHint("copy it again from where it was made, or use another one")
	errTooLong = fault.New(fault.Limit, "the stream is too long for one key")
)

// sealer is what both ends share.
type sealer struct {
	aead  cipher.AEAD
	ad    []byte // binding, chunk's number, last
	index uint64 // of the next chunk
}

func newSealer(key, binding []byte) (sealer, error) {
	if len(key) != KeySize || len(binding) == 0 {
		return sealer{}, fault.New(fault.Internal, "a stream without a proper key, or bound to nothing")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fault.New(fault.Internal, "preparing AES")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fault.New(fault.Internal, "preparing AES-GCM")
	}
	ad := make([]byte, len(binding)+9)
	copy(ad, binding)
	return sealer{aead: aead, ad: ad}, nil
}

// about gives the associated data of the next chunk.
func (s *sealer) about(last bool) []byte {
	tail := s.ad[len(s.ad)-9:]
	binary.BigEndian.PutUint64(tail, s.index)
	tail[8] = 0
	if last {
		tail[8] = 1
	}
	return s.ad
}

// writer is NewWriter's.
type writer struct {
	sealer
	dst    io.Writer
	buf    []byte // plaintext that waits until it is known whether more comes
	sealed []byte
	err    error // what ended it
}

// errClosed is what a closed writer says.
var errClosed = fault.New(fault.Internal, "the stream is closed")

// NewWriter encrypts what is written to it and writes that to dst. binding is
// what the stream belongs to; it has one length in all uses of one key. Close
// writes the last chunk: a stream that was not closed is refused. It does not
// close dst.
func NewWriter(dst io.Writer, key, binding []byte) (io.WriteCloser, error) {
	s, err := newSealer(key, binding)
	if err != nil {
		return nil, err
	}
	return &writer{sealer: s, dst: dst, buf: make([]byte, 0, ChunkSize), sealed: make([]byte, 0, ChunkSize+Overhead)}, nil
}

func (w *writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.err != nil {
			return n, w.err
		}
		if len(w.buf) == ChunkSize { // there is more, so it is not the last one
			w.flush(false)
			continue
		}
		k := copy(w.buf[len(w.buf):ChunkSize], p)
		w.buf, p, n = w.buf[:len(w.buf)+k], p[k:], n+k
	}
	return n, w.err
}

func (w *writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.flush(true)
	err := w.err
	if err == nil {
		w.err = errClosed
	}
	return err
}

func (w *writer) flush(last bool) {
	if w.index >= maxChunks {
		w.err = errTooLong
		return
	}
	w.sealed = w.aead.Seal(w.sealed[:0], nil, w.buf, w.about(last)) //nolint:gosec // G407: the AEAD makes a random nonce itself and takes none
	w.index++
	clear(w.buf)
	w.buf = w.buf[:0]
	_, w.err = w.dst.Write(w.sealed)
}

// reader is NewReader's.
type reader struct {
	sealer
	src    *bufio.Reader
	sealed []byte
	plain  []byte // of the current chunk
	rest   []byte // of plain, not given out yet
	err    error  // what ended it
}

// NewReader decrypts what NewWriter made with the same key and binding. Its end
// is io.EOF only after the last chunk, with nothing behind it; what is not so is
// Invalid. An error of src is returned as it is.
func NewReader(src io.Reader, key, binding []byte) (io.Reader, error) {
	s, err := newSealer(key, binding)
	if err != nil {
		return nil, err
	}
	return &reader{sealer: s, src: bufio.NewReaderSize(src, ChunkSize+Overhead), sealed: make([]byte, ChunkSize+Overhead), plain: make([]byte, 0, ChunkSize)}, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next opens one chunk. r.err is io.EOF with the last one.
func (r *reader) next() {
	n, err := io.ReadFull(r.src, r.sealed)
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err == nil { // a whole chunk is the last one when nothing follows
		_, err = r.src.Peek(1)
		last = errors.Is(err, io.EOF)
	}
	if err != nil && !last {
		r.err = err
		return
	}
	r.err = r.open(r.sealed[:n], last)
	if r.err == nil && last {
		r.err = io.EOF
	}
}

func (r *reader) open(sealed []byte, last bool) (err error) {
	if len(sealed) < Overhead || r.index >= maxChunks {
		return errCut
	}
	if r.plain, err = r.aead.Open(r.plain[:0], nil, sealed, r.about(last)); err != nil {
		r.plain = r.plain[:0]
		if last {
			// Only to say what happened: nothing of it is given out.
			if _, err := r.aead.Open(nil, nil, sealed, r.about(false)); err == nil {
				return errCut
			}
		}
		return errAltered
	}
	if last && len(r.plain) == 0 && r.index > 0 {
		return errAltered // no writer of ours leaves the last chunk empty
	}
	r.index++
	r.rest = r.plain
	return nil
}
