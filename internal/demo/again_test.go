package demo_test

import (
	"context"
	"testing"
)

func TestASecondStartGoesOnWhereTheFirstWas(t *testing.T) {
	w := start(t, nil)
	run := w.run("onboarded")
	it := w.waiting(run)
	url, password := w.URL(), w.People["approver"].Password
	w.must(w.Stop(context.WithoutCancel(t.Context())))
	w.begin(nil)
	if w.URL() != url {
		t.Errorf("the server moved from %s to %s", url, w.URL())
	}
	if w.People["approver"].Password == password {
		t.Error("the password is the old one")
	}
	w.must(w.decide("approver", it, "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
}
