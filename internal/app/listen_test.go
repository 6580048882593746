package app_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
)

func TestAPortThatWasOpenedAheadIsClosedWithTheProgram(t *testing.T) {
	c := app.Config{Dir: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", Tenant: "acme", LogHandler: slog.DiscardHandler}
	ln, err := app.Listen(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Listener = ln
	a, err := app.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if a.Addr() != ln.Addr().String() {
		t.Errorf("it is at %s", a.Addr())
	}
	if err := a.Start(t.Context()); err == nil {
		t.Fatal("it starts without a seal")
	}
	if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	again, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("the port stays open: %v", err)
	}
	_ = again.Close()
}

func TestWithoutTLSThePortIsForThisMachine(t *testing.T) {
	for listen, c := range map[string]app.Config{
		"0.0.0.0:0": {}, "nonsense": {}, "127.0.0.1:0": {TLSCert: "nowhere", TLSKey: "nowhere"}, "127.0.0.1:": {TLSCert: "half"},
	} {
		c.Listen = listen
		if ln, err := app.Listen(t.Context(), c); err == nil || ln != nil {
			t.Errorf("%s: %v", listen, err)
		} else if k := fault.KindOf(err); k != fault.Invalid && k != fault.Unavailable {
			t.Errorf("%s: %v", listen, k)
		}
	}
}
