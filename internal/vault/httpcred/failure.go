package httpcred

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/scrub"
)

// failure replaces a transport's error. Of its text nothing is kept: it may
// hold the URL with a query credential, a header, or what a system sent. A
// fault, which the product's own dialler made, keeps its kind and its scrubbed
// message.
func failure(ctx context.Context, err error, known []*scrub.Set) error {
	switch c := ctx.Err(); {
	case errors.Is(c, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "the system did not answer in time")
	case c != nil:
		return fault.Wrap(fault.Unavailable, "calling the system", c) // a constant of package context
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return &fault.Error{Kind: f.Kind, Msg: scrubString(known, f.Msg), Hint: scrubString(known, f.Hint)}
	}
	return fault.New(fault.Unavailable, sentence(err))
}

// sentence says what happened, in words of ours.
func sentence(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the system's host name was not resolved"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the system's TLS certificate is not valid for it"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the system does not speak TLS on that port"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "the system refuses connections"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "no connection to the system"
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return "the system did not answer in time"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return "the system cut the connection"
	}
	return "the exchange with the system went wrong"
}

func scrubString(known []*scrub.Set, s string) string {
	for _, k := range known {
		s, _ = k.String(s)
	}
	return s
}
