package scrub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Handler scrubs every record before h sees it: message, keys and values,
// groups included, those bound earlier by With too, with the Set that is current
// when the record is made. Numbers, times and the like stay what they are unless
// their text holds a secret; any other value becomes its text, so that h never
// meets an object with ways of its own to show itself. A value that can't be
// rendered is withheld.
//
// mask, where it is not nil, is applied to each text after that: for what only
// looks like a secret. It gets a value with its key before it, as in "key=value",
// since a name can be what makes a value one.
func Handler(h slog.Handler, holder *Holder, mask func(string) string) slog.Handler {
	if mask == nil {
		mask = func(s string) string { return s }
	}
	return &handler{next: h, cleaner: cleaner{holder, mask}}
}

type handler struct {
	next slog.Handler
	cleaner
	bound []binding
}

// cleaner is what a text goes through.
type cleaner struct {
	holder *Holder
	mask   func(string) string
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
	return &handler{h.next, h.cleaner, append(slices.Clip(h.bound), b)}
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
	out := slog.NewRecord(r.Time, r.Level, h.mask(msg), r.PC)
	out.AddAttrs(h.attrs(s, attrs)...)
	return h.next.Handle(ctx, out)
}

func (c cleaner) attrs(s *Set, in []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(in))
	for i, a := range in {
		key, _ := s.String(a.Key)
		out[i] = slog.Attr{Key: c.mask(key), Value: c.value(s, a.Key, a.Value)}
	}
	return out
}

// value scrubs one value.
func (c cleaner) value(s *Set, key string, v slog.Value) slog.Value {
	v = v.Resolve() // a LogValuer that panics becomes an error value
	switch v.Kind() {
	case slog.KindGroup:
		return slog.GroupValue(c.attrs(s, v.Group())...)
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindDuration, slog.KindTime:
		if text, r := s.String(v.String()); r.Found() {
			return slog.StringValue(text)
		}
		return v
	case slog.KindString, slog.KindAny, slog.KindLogValuer:
	}
	text, _ := s.String(render(v))
	name := key + "="
	masked, ok := strings.CutPrefix(c.mask(name+text), name)
	if !ok { // what was found begins before the value
		masked = looksSecret
	}
	return slog.StringValue(masked)
}

// What stands for a value that has no text, or may not be shown.
const (
	withheld    = "[withheld: the value can't be rendered]"
	looksSecret = "[withheld: it looks like a secret]" //nolint:gosec // a sentence
)

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
