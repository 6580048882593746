package httpcred

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/deltas"
)

// maxStatus is the most bytes of a status line's text.
const maxStatus = 80

// incoming makes the answer that a caller sees: a copy of resp in which every
// part was scrubbed, and whose Request is the caller's own.
func (d *door) incoming(req *http.Request, resp *http.Response) (*http.Response, error) {
	if resp.StatusCode < 200 {
		return nil, fault.New(fault.Invalid, "the system wants to change the protocol, which a door does not do")
	}
	known := d.sets()
	in := &http.Response{
		Status: status(known, resp), StatusCode: resp.StatusCode,
		Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: cleanHeader(known, resp.Header), ContentLength: -1, Uncompressed: true, Request: req,
	}
	if resp.Body == nil || resp.Body == http.NoBody || req.Method == http.MethodHead {
		in.Body, in.ContentLength = http.NoBody, 0
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
		return in, nil
	}
	decoded, err := decode(resp.Header, resp.Body)
	if err != nil {
		return nil, err
	}
	in.Trailer = make(http.Header)
	in.Body = newBody(req.Context(), known, decoded, resp, in.Trailer)
	return in, nil
}

// status gives "200 OK" with the system's own text, scrubbed, then cut.
func status(known []*scrub.Set, resp *http.Response) string {
	code := strconv.Itoa(resp.StatusCode)
	text := scrubString(known, strings.TrimSpace(strings.TrimPrefix(resp.Status, code)))
	if len(text) > maxStatus {
		text = http.StatusText(resp.StatusCode)
	}
	return strings.TrimSpace(code + " " + text)
}

// cleanHeader gives a scrubbed copy without what is dropped.
func cleanHeader(known []*scrub.Set, h http.Header) http.Header {
	out := make(http.Header, len(h))
	for k, vs := range h {
		if !isDropped(k) {
			out[k] = append([]string(nil), vs...)
		}
	}
	if c := challenge(h); c != "" {
		out.Set("Www-Authenticate", c)
	}
	for _, k := range known {
		k.Header(out)
	}
	return out
}

// body scrubs the answer's body as it is read, and its trailers at its end.
type body struct {
	clean   io.Reader // scrubbed; its errors are fixed sentences
	resp    *http.Response
	trailer http.Header // the caller's; filled at the end
	known   []*scrub.Set
	ended   bool
}

// newBody looks into the frames of a stream of events too: a secret that is cut
// into them is in one piece nowhere on the wire.
func newBody(ctx context.Context, known []*scrub.Set, decoded io.Reader, resp *http.Response, trailer http.Header) *body {
	r := io.Reader(&fixed{ctx: ctx, r: decoded, known: known})
	for _, t := range resp.Header.Values("Content-Type") {
		if !deltas.Takes(t) {
			continue
		}
		for _, k := range known {
			r = deltas.Reader(k, t, r)
		}
		break
	}
	// Last of all, every byte as it will stand on the wire.
	for _, k := range known {
		r = k.Reader(r)
	}
	return &body{clean: r, resp: resp, trailer: trailer, known: known}
}

// Read reads scrubbed bytes.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.clean.Read(p)
	if err == io.EOF && !b.ended {
		b.ended = true
		// A decoder stops at the end of its format; the trailers come after.
		_, _ = io.Copy(io.Discard, io.LimitReader(b.resp.Body, 4<<10))
		for k, vs := range cleanHeader(b.known, b.resp.Trailer) {
			b.trailer[k] = vs
		}
	}
	return n, err
}

// Close ends the exchange.
func (b *body) Close() error {
	if err := b.resp.Body.Close(); err != nil {
		return fault.New(fault.Unavailable, sentence(err))
	}
	return nil
}

// fixed replaces a stream's errors by fixed sentences.
type fixed struct {
	ctx   context.Context
	r     io.Reader
	known []*scrub.Set
}

func (f *fixed) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == nil || err == io.EOF { // EOF itself: the words of one that is wrapped must not pass
		return n, err
	}
	return n, failure(f.ctx, err, f.known)
}
