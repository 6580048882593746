package smtpcred

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"

	"sallyport.dev/internal/fault"
)

// failure replaces an error of the exchange by a sentence of ours. A server's
// text may hold what it was sent: only the number of its reply is kept.
func failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, "the mail server did not answer in time")
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, "speaking to the mail server", ctx.Err()) // a constant of package context
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return refusal(reply.Code)
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return fault.New(fault.Unavailable, "the mail server does not speak SMTP")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.New(fault.Denied, "the mail server's TLS certificate is not valid for it")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fault.New(fault.Unavailable, "the mail server does not speak TLS on that port").
			WithHint("tls: starttls is usual on port 587, tls: implicit on 465")
	}
	if errors.Is(err, errTooMuch) {
		return fault.New(fault.Unavailable, "the mail server says more than the limit")
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return fault.New(fault.Unavailable, "the mail server did not answer in time")
	}
	return fault.New(fault.Unavailable, "the exchange with the mail server broke off")
}

// refusal says what a reply's number means (RFC 5321, 4.2; RFC 4954, 6).
func refusal(code int) error {
	switch {
	case code == 534 || code == 535 || code == 538:
		return fault.Newf(fault.Denied, "the mail server refuses the sign-in (%d)", code).WithHint("rotate the Secret, or correct the username")
	case code == 530:
		return fault.Newf(fault.Denied, "the mail server wants a sign-in first (%d)", code).WithHint("name a Secret in the Channel")
	case code >= 550 && code <= 553:
		return fault.Newf(fault.Denied, "the mail server refuses the address (%d)", code)
	case code >= 500 && code <= 599:
		return fault.Newf(fault.Denied, "the mail server refuses (%d)", code)
	case code >= 400 && code <= 499:
		return fault.Newf(fault.Unavailable, "the mail server refuses for now (%d)", code)
	}
	return fault.New(fault.Unavailable, "the mail server does not speak SMTP")
}
