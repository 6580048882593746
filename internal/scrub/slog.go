package scrub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
)

// Handler scrubs every record before h sees it: message, keys and values,
// groups included, those bound earlier by With too, with the Set that is current
// when the record is made. Numbers, times and the like stay what they are unless
// their text holds a secret; any other value becomes its text, so that h never
// meets an object with ways of its own to show itself. A value that can't be
// rendered is withheld.
func Handler(h slog.Handler, holder *Holder) slog.Handler {
	return &handler{next: h, holder: holder}
}

type handler struct {
	next   slog.Handler
	holder *Holder
	bound  []binding
}

// binding is one call of WithGroup (a group) or WithAttrs (no group).
type binding struct {
	group string
	attrs []slog.Attr
}

// Enabled asks the next handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs keeps the attributes for each record: they are scrubbed then, since
// what is secret may be known only later.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(binding{attrs: slices.Clone(attrs)})
}

// WithGroup keeps the group for each record.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(binding{group: name})
}

func (h *handler) with(b binding) slog.Handler {
	return &handler{h.next, h.holder, append(slices.Clip(h.bound), b)}
}

// Handle scrubs the record and passes it on.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	s := h.holder.Load()
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	for _, b := range slices.Backward(h.bound) {
		if b.group != "" {
			attrs = []slog.Attr{{Key: b.group, Value: slog.GroupValue(attrs...)}}
		} else {
			attrs = slices.Concat(b.attrs, attrs)
		}
	}
	msg, _ := s.String(r.Message)
	out := slog.NewRecord(r.Time, r.Level, msg, r.PC)
	out.AddAttrs(s.attrs(attrs)...)
	return h.next.Handle(ctx, out)
}

func (s *Set) attrs(in []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(in))
	for i, a := range in {
		out[i].Key, _ = s.String(a.Key)
		out[i].Value = s.value(a.Value)
	}
	return out
}

// value scrubs one value.
func (s *Set) value(v slog.Value) slog.Value {
	v = v.Resolve() // a LogValuer that panics becomes an error value
	switch v.Kind() {
	case slog.KindGroup:
		return slog.GroupValue(s.attrs(v.Group())...)
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindDuration, slog.KindTime:
		if text, r := s.String(v.String()); r.Found() {
			return slog.StringValue(text)
		}
		return v
	case slog.KindString, slog.KindAny, slog.KindLogValuer:
	}
	text, _ := s.String(render(v))
	return slog.StringValue(text)
}

// withheld stands for a value that has no text.
const withheld = "[withheld: the value can't be rendered]"

// render is the text of a string or of any object.
func render(v slog.Value) (text string) {
	defer func() {
		if recover() != nil {
			text = withheld
		}
	}()
	if v.Kind() == slog.KindString {
		return v.String()
	}
	switch x := v.Any().(type) {
	case nil:
		return "<nil>"
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case []byte:
		return string(x)
	default:
		return fmt.Sprintf("%+v", x)
	}
}
