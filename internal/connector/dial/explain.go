package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"sallyport.dev/internal/fault"
)

// failed is an exchange that broke after bytes may have left: unknown for a
// write; a read just has to be done again.
func failed(write bool, msg string) *fault.Error {
	if write {
		return fault.New(fault.Unknown, msg).
			WithHint("the write may or may not have been applied; it is not repeated until that is known")
	}
	return fault.New(fault.Unavailable, msg)
}

// explain turns an error of a door or of net/http into a fixed sentence. A
// fault that the door or the dialler made is a fixed sentence already. write
// says that a write's bytes may have left.
func explain(err error, write bool) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if write {
			return &fault.Error{Kind: fault.Unknown, Msg: "after the request left", Err: f, Hint: f.Hint}
		}
		return f
	}
	return failed(write, sentence(err))
}

func sentence(err error) string {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	_, isHost := errors.AsType[x509.HostnameError](err)
	_, isAuth := errors.AsType[x509.UnknownAuthorityError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case isDNS && dns.IsNotFound:
		return "the system's host name does not resolve"
	case isDNS:
		return "resolving the system's host name does not work now"
	case isCert || isHost || isAuth:
		return "the system's TLS certificate can't be verified"
	case isRecord:
		return "the system does not speak TLS on that port"
	case errors.Is(err, context.Canceled):
		return "the call was cancelled"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout && timeout.Timeout():
		return "the system did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the system refuses connections"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the system can't be reached over the network"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return "the connection was cut"
	case strings.Contains(err.Error(), "response headers exceeded"), strings.Contains(err.Error(), "header list larger"):
		return "the answer's headers are too large"
	}
	return "the exchange with the system broke off"
}
