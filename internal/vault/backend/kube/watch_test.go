package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/kube"
)

// look is a watch that a test follows.
type look struct {
	t      *testing.T
	sights chan backend.Sight
	ended  chan error
	end    context.CancelFunc
}

func watch(t *testing.T, b backend.Backend, name string) *look {
	t.Helper()
	return watchFrom(t, b, name, "")
}

func watchFrom(t *testing.T, b backend.Backend, name, from string) *look {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &look{t, make(chan backend.Sight, 10_000), make(chan error, 1), cancel}
	t.Cleanup(cancel)
	go func() { l.ended <- kube.WatchFrom(ctx, b, name, from, func(s backend.Sight) { l.sights <- s }) }()
	return l
}

// wants waits for what is told next.
func (l *look) wants(want backend.Sight) {
	l.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	select {
	case got := <-l.sights:
		if got != want {
			l.t.Fatalf("it %s, want %s", got, want)
		}
	case err := <-l.ended:
		l.t.Fatalf("the watch ended: %v", err)
	case <-late.C:
		l.t.Fatalf("nobody tells that it %s", want)
	}
}

func TestAWatchGoesOnWhereTheServerEndedIt(t *testing.T) {
	f, b := fake(t)
	f.put("crm", map[string]string{"a": "1"})
	l := watch(t, b, "crm")
	l.wants(backend.Began)
	l.wants(backend.Began) // what is there
	for range 3 {
		f.turn()
		f.end() // the token is replaced meanwhile
		f.put("other", map[string]string{"a": "1"})
		f.put("crm", map[string]string{"a": "2"})
		l.wants(backend.Changed)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, from := range f.asked {
		if i > 0 && from == "" {
			t.Errorf("it went on from %q", f.asked)
		}
	}
}

func TestAWatchBeginsAnewWhereTheServerHasForgotten(t *testing.T) {
	f, b := fake(t)
	f.put("crm", map[string]string{"a": "1"})
	l := watch(t, b, "crm")
	l.wants(backend.Began)
	l.wants(backend.Began)
	f.mu.Lock()
	f.forgotten = f.rev + 10 // also what the bookmark says
	f.mu.Unlock()
	f.turn()
	l.wants(backend.Began)
	f.put("crm", map[string]string{"a": "2"})
	l.wants(backend.Changed)
}

// After etcd was put back, versions that were seen are still to come: the server
// says nothing, in good order.
func TestAWatchThatSaysNothingBeginsAnew(t *testing.T) {
	f, b := fake(t)
	l := watch(t, b, "crm")
	l.wants(backend.Began)
	f.mu.Lock()
	f.mute = true
	f.mu.Unlock()
	<-f.begun
	f.turn() // the one that had said something
	<-f.begun
	f.turn() // the one that says nothing
	l.wants(backend.Began)
}

func TestAHostileServerEndsAWatchAndNothingElse(t *testing.T) {
	partial := func(kind, name, ns, version string) string {
		return `{"type":"` + kind + `","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"` + name + `","namespace":"` + ns + `","resourceVersion":"` + version + `"}}}` + "\n"
	}
	for name, say := range map[string]string{
		"a line that never ends":  `{"type":"` + strings.Repeat("x", 1<<20),
		"another Secret":          partial("MODIFIED", "erp", "prod", "7"),
		"another namespace":       partial("MODIFIED", "crm", "kube-system", "7"),
		"a whole Secret":          strings.Replace(partial("MODIFIED", "crm", "prod", "7"), "PartialObjectMetadata", "Secret", 1),
		"a kind that there isn't": partial("REPLACED", "crm", "prod", "7"),
		"a version that climbs":   partial("MODIFIED", "crm", "prod", "../../x"),
		"no version":              partial("MODIFIED", "crm", "prod", ""),
		"garbage":                 "<html>\n",
		"an empty line":           "\n",
		"an error":                `{"type":"ERROR","object":{"kind":"Status","code":500,"message":"cnry-said"}}` + "\n",
		"gone, from the first":    `{"type":"ERROR","object":{"kind":"Status","code":410}}` + "\n",
		"gone, each time":         partial("MODIFIED", "crm", "prod", "7") + `{"type":"ERROR","object":{"kind":"Status","code":410}}` + "\n",
		"a member twice":          `{"type":"BOOKMARK","type":"MODIFIED","object":{}}` + "\n",
		"changes without an end":  strings.Repeat(partial("MODIFIED", "crm", "prod", "7")+partial("MODIFIED", "crm", "prod", "8"), 1100),
	} {
		t.Run(name, func(t *testing.T) {
			f, b := fake(t)
			f.hostile = say
			l := watch(t, b, "crm")
			select {
			case err := <-l.ended:
				e, ok := errors.AsType[*backend.Error](err)
				if !ok || e.Reason != backend.Wrong && e.Reason != backend.Away || strings.Contains(err.Error(), "cnry") {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("it goes on")
			}
			if n := len(l.sights); n > 2001 {
				t.Errorf("it told %d times", n)
			}
		})
	}
}

func TestAWatchThatIsNotAllowedSaysWhy(t *testing.T) {
	for fault, want := range map[backendtest.Fault]backend.Reason{backendtest.Refusing: backend.Refused, backendtest.Broken: backend.Away, backendtest.Busy: backend.Throttled,
		backendtest.Elsewhere: backend.Away, backendtest.Garbage: backend.Away} {
		f, b := fake(t)
		f.fault = fault
		if err := <-watch(t, b, "crm").ended; err == nil || backend.ReasonOf(err) != want {
			t.Errorf("it %s: %v", fault, err)
		}
	}
}

func FuzzALineOfAWatch(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"crm","namespace":"prod","uid":"2a","resourceVersion":"230"}}}`))
	f.Add([]byte(`{"type":"BOOKMARK","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"233"}}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (248)","reason":"Expired","code":410}}`))
	f.Add([]byte(`{"type":"DELETED","object":{"kind":"PartialObjectMetadata","metadata":{"name":"\u0063rm","namespace":"prod","resourceVersion":"1"}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := kube.ReadEvent(line, "prod", "crm")
		if err == nil && (e.Version() == "" || backend.CheckVersion(e.Version()) != nil) {
			t.Error("a version that can't go into the next question")
		}
		if _, reason := errors.AsType[*backend.Error](err); err != nil && !reason && !errors.Is(err, kube.ErrGone) {
			t.Errorf("an error without a reason: %v", err)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\n"), 1)
	f.Add([]byte("\n\nthree"), 7)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		want := strings.Split(string(in), "\n")
		got, err := kube.Lines(in, 1+max(0, piece%64))
		if err != nil && want[len(want)-1] == "" {
			t.Fatalf("whole lines end with %v", err)
		}
		if strings.Join(got, "\n") != strings.Join(want[:len(want)-1], "\n") {
			t.Errorf("%q became %q", in, got)
		}
	})
}
