package rotation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

func step(method, path string) resource.HTTPStep {
	return resource.HTTPStep{Method: method, Path: path}
}

// rules are the ways in which systems differ.
func rules() map[string]resource.Rotator {
	web := func(f func(*resource.HTTPRotator)) resource.Rotator {
		del := step("DELETE", "/keys/{id}")
		h := &resource.HTTPRotator{BaseURL: "https://crm.example", Auth: resource.Auth{Scheme: resource.SchemeBearer}, TryAuth: resource.Auth{Scheme: resource.SchemeBearer},
			Create: step("POST", "/keys"), Try: step("GET", "/me"), Delete: &del, Fields: map[string]string{"token": "/token"}, ID: "/id"}
		f(h)
		return resource.Rotator{Kind: resource.RotatorHTTP, HTTP: h}
	}
	sql := resource.SQLRotator{Host: "db.example", Port: 5432}
	two := sql
	two.Users = []string{"app_a", "app_b"}
	return map[string]resource.Rotator{
		"a system that lists": web(func(h *resource.HTTPRotator) {
			h.Find = &resource.HTTPFind{HTTPStep: step("GET", "/keys"), ID: "/id", Label: "/label"}
		}),
		"a system that knows a request again": web(func(h *resource.HTTPRotator) { h.Once = "Idempotency-Key" }),
		"a system that does neither":          web(func(*resource.HTTPRotator) {}),
		"a system that ends the old one":      web(func(h *resource.HTTPRotator) { h.Ends, h.Once = true, "Idempotency-Key" }),
		"a password":                          {Kind: resource.RotatorPostgres, SQL: &sql},
		"two users who take turns":            {Kind: resource.RotatorMySQL, Admin: "db-admin", SQL: &two},
		"a program":                           {Kind: resource.RotatorExec, Exec: &resource.ExecRotator{Program: "ldap", Generate: map[string]int{"password": 32}, Deletes: true}},
	}
}

// The process is killed at every point of every step, and on both sides of what a
// system does. Each time, one version is active at every moment, and the system has
// no credential that nobody knows of; at the end the new version is the active one,
// or a person is asked.
func TestAKillAnywhereLeavesOneActiveVersionAndNoUnknownCredential(t *testing.T) {
	for name, rule := range rules() {
		t.Run(name, func(t *testing.T) {
			first := newWorld(t, rule)
			_, err := first.m.Start(t.Context(), boss, secret, "fac_2")
			first.must(err)
			if r := first.settle(); r.State != rotation.Done || first.active != 2 {
				t.Fatalf("without a kill it is %s (%s), and version %d is active", r.State, r.Why, first.active)
			}
			if len(first.alive) != 1 {
				t.Errorf("the system has %v", first.alive)
			}
			slices.Sort(first.points)
			for _, where := range slices.Compact(first.points) {
				w := newWorld(t, rule)
				w.dies = where
				_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
				w.must(err)
				r := w.settle()
				w.check("the end")
				asked := r.State == rotation.NeedsPerson && rule.Chooses() && !rule.Finds() && !rule.Once() && strings.HasPrefix(r.Why, "making")
				if !w.died || !asked && (r.State != rotation.Done || w.active != 2 || len(w.alive) != 1) {
					t.Errorf("killed at %s: %s (%s), version %d, the system has %v", where, r.State, r.Why, w.active, w.alive)
				}
			}
		})
	}
}

// What a system answers, at each step, once: no answer although it happened, out of
// reach, no.
func TestEveryStepThatFailsLeavesOneVersionThatWorks(t *testing.T) {
	for name, rule := range rules() {
		for _, act := range []string{"make", "apply", "try", "switch", "end", "delete"} {
			for _, kind := range []fault.Kind{fault.Unavailable, fault.Unknown, fault.Denied, fault.Invalid} {
				for _, late := range []bool{false, true} {
					if late && kind != fault.Unknown {
						continue // the others say that nothing has happened
					}
					t.Run(fmt.Sprint(name, " ", act, " ", kind, " ", late), func(t *testing.T) {
						w := newWorld(t, rule)
						if late {
							w.late[act] = fault.New(kind, "the answer")
						} else {
							w.fail[act] = fault.New(kind, "the answer")
						}
						_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
						w.must(err)
						r := w.settle()
						w.check("the end")
						if _, works := w.alive[w.versions[w.active-1].Ref]; !works && r.State != rotation.NeedsPerson {
							t.Errorf("%s (%s): version %d is active, and the system has %v", r.State, r.Why, w.active, w.alive)
						}
						if r.State == rotation.Done && w.active != 2 || r.State == rotation.Failed && w.active != 1 {
							t.Errorf("%s, and version %d is active", r.State, w.active)
						}
					})
				}
			}
		}
	}
}

// A person's word goes on where the machine could not.
func TestAPersonEndsWhatTheMachineCantKnow(t *testing.T) {
	rule := rules()["a system that does neither"]
	w := newWorld(t, rule)
	w.dies = "make/answered"
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	r := w.settle()
	if r.State != rotation.NeedsPerson {
		t.Fatalf("it is %s", r.State)
	}
	if _, err := w.m.Resolve(t.Context(), rotation.System(acme), r.ID, rotation.Again, 0, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("the system itself gives a person's word: %v", err)
	}
	for id, by := range w.alive { // the person looks, and takes away what is there
		if by == r.ID {
			delete(w.alive, id)
		}
	}
	_, err = w.m.Resolve(t.Context(), boss, r.ID, rotation.Again, 0, "fac_3")
	w.must(err)
	if r = w.settle(); r.State != rotation.Done || w.versions[1].State != vault.Active {
		t.Errorf("after the word it is %s (%s)", r.State, r.Why)
	}
}

// What was settled by hand leaves no version that somebody could open by its number.
func TestWhatAPersonSettledLeavesNoVersionOpen(t *testing.T) {
	w := newWorld(t, rules()["a system that lists"])
	w.fail["try"] = fault.New(fault.Invalid, "it can't be read")
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	r := w.settle()
	if r.State != rotation.NeedsPerson || r.Stuck != rotation.Trying {
		t.Fatalf("it is %s in %s", r.State, r.Stuck)
	}
	if _, err := w.m.Resolve(t.Context(), boss, r.ID, "what", 0, "fac_3"); !fault.Is(err, fault.Invalid) {
		t.Errorf("another word: %v", err)
	}
	r, err = w.m.Resolve(t.Context(), boss, r.ID, rotation.Settled, 0, "fac_3")
	w.must(err)
	if r.State != rotation.Failed || w.versions[1].State != vault.Disabled || w.active != 1 {
		t.Errorf("it is %s, and version 2 is %s", r.State, w.versions[1].State)
	}
	if _, err := w.m.Resolve(t.Context(), boss, r.ID, rotation.Again, 0, "fac_4"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a word on one that has ended: %v", err)
	}
}
