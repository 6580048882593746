package httpcred

import (
	"context"
	"net/http/httptrace"
)

// quietCtx hides a caller's trace: its hooks would be handed the injected
// header as it is written, and 1xx answers before anybody scrubbed them.
type quietCtx struct{ context.Context }

// Value gives what the caller's context has, but for a trace.
func (c quietCtx) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// quiet gives ctx with a trace that tells the caller's only how far the request
// got, which a connector needs to say that nothing was sent.
func quiet(ctx context.Context) context.Context {
	told := httptrace.ContextClientTrace(ctx)
	if told == nil {
		return ctx
	}
	return httptrace.WithClientTrace(quietCtx{ctx}, &httptrace.ClientTrace{
		GetConn: told.GetConn,
		GotConn: func(i httptrace.GotConnInfo) {
			if told.GotConn != nil {
				told.GotConn(httptrace.GotConnInfo{Reused: i.Reused, WasIdle: i.WasIdle, IdleTime: i.IdleTime})
			}
		},
		WroteHeaders: told.WroteHeaders,
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if told.WroteRequest != nil {
				if i.Err != nil {
					i.Err = failure(ctx, i.Err, nil)
				}
				told.WroteRequest(i)
			}
		},
		GotFirstResponseByte: told.GotFirstResponseByte,
	})
}
