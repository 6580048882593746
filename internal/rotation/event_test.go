package rotation_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// heard is a world whose log is read, and what its list says of the Secret.
func heard(t *testing.T, w *world) (log *bytes.Buffer, list func() rotation.Standing) {
	log = &bytes.Buffer{}
	w.m.Log = slog.New(slog.NewTextHandler(log, nil))
	return log, func() rotation.Standing {
		t.Helper()
		all, err := w.m.Standings(t.Context(), acme)
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0]
	}
}

// A rotation by hand counts too, also one that has failed: the event after it begins
// none for an hour, and what it would have been is in the log and in the list.
func TestAnEventAfterARotationByHandSaysWhyItBeginsNone(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	log, list := heard(t, w)
	w.fail["make"] = fault.New(fault.Denied, "the admin is refused")
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	if r := w.settle(); r.State != rotation.Failed {
		t.Fatalf("it is %s", r.State)
	}
	w.now = only(w).Started.Add(62 * time.Second)
	for range 3 {
		if begun, err := w.m.Event(t.Context(), w.policies[secret]); begun || err != nil {
			t.Errorf("%t, %v", begun, err)
		}
	}
	for _, want := range []string{"an event begins no rotation", secret, "begun 1m2s ago, by hand, and is failed"} {
		if n := strings.Count(log.String(), want); n == 0 || want != secret && n != 1 {
			t.Errorf("%q is in the log %d times: %s", want, n, log)
		}
	}
	u := list().Unbegun
	if u == nil || u.Times != 3 || !u.At.Equal(w.now) || !strings.Contains(u.Why, "by hand, and is failed") {
		t.Fatalf("the list has %+v", u)
	}
	w.now = w.now.Add(time.Hour)
	if begun, err := w.m.Event(t.Context(), w.policies[secret]); !begun || err != nil {
		t.Errorf("after the hour: %t, %v", begun, err)
	}
	if u := list().Unbegun; u != nil {
		t.Errorf("the list still has %+v", u)
	}
}

// Who sends an event learns neither that everything is stopped nor by whom, nor where
// a value is.
func TestWhoSendsAnEventLearnsNothingOfWhatStandsInItsWay(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	log, list := heard(t, w)
	w.m.Stopped = func(context.Context, ident.Tenant) error {
		return fault.New(fault.Unavailable, "stopped by Ann: a thief")
	}
	_, err := w.m.Event(t.Context(), w.policies[secret])
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error()+fault.HintOf(err), "stop") || !strings.Contains(list().Unbegun.Why, "by Ann") {
		t.Errorf("stopped: %v", err)
	}
	w.m.Stopped = nil
	w.versions[0].Pointer = &vault.Pointer{Backend: "corp", Path: "team/crm"}
	if begun, err := w.m.Event(t.Context(), w.policies[secret]); begun || err != nil || !strings.Contains(list().Unbegun.Why, "backend corp") {
		t.Errorf("a pointer: %t, %v", begun, err)
	}
	if !strings.Contains(log.String(), "by Ann") {
		t.Errorf("the log has %s", log)
	}
}

// The list says when a schedule acts next, and of a policy that does nothing, why.
func TestTheListSaysWhenAPolicyActsAndWhyNot(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	_, list := heard(t, w)
	if s := list(); !s.Next.IsZero() || s.Idle != "" {
		t.Errorf("without a schedule: %+v", s)
	}
	_, err := w.m.SetPolicy(t.Context(), boss, secret, resource.Rotation{Every: resource.Duration(time.Hour), Rotator: w.rule}, "fac_2")
	w.must(err)
	w.versions[0].CreatedAt = w.now
	if s := list(); !s.Next.Equal(w.now.Add(time.Hour)) || s.Idle != "" {
		t.Errorf("with one: %+v", s)
	}
	w.versions[0].Pointer = &vault.Pointer{Backend: "corp", Path: "team/crm"}
	if s := list(); !s.Next.IsZero() || !strings.Contains(s.Idle, "backend corp") {
		t.Errorf("a pointer: %+v", s)
	}
	w.versions[0].Pointer = nil
	w.active, w.versions[0].State = 0, vault.Disabled
	if s := list(); !s.Next.IsZero() || !strings.Contains(s.Idle, "active") {
		t.Errorf("nothing is active: %+v", s)
	}
	w.removed = true
	if s := list(); !s.Next.IsZero() || !strings.Contains(s.Idle, "removed") {
		t.Errorf("removed: %+v", s)
	}
}
