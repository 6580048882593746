package app

import (
	"context"
	"log/slog"
)

// engineLog is the log of the engine, whose everyday steps are of interest to
// nobody but who debugs it.
func (a *App) engineLog(ctx context.Context) *slog.Logger {
	if a.log.Enabled(ctx, slog.LevelDebug) {
		return a.log
	}
	return slog.New(warnings{a.log.Handler()})
}

// warnings passes on what is a warning or worse.
type warnings struct{ slog.Handler }

// Enabled says so for Warn and above.
func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the bound.
func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the bound.
func (h warnings) WithGroup(name string) slog.Handler { return warnings{h.Handler.WithGroup(name)} }
