package console

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/rotation"
)

type rotationsPage struct {
	Frame
	Secrets []rotation.Standing
}

func (*rotationsPage) name() string { return "rotations" }

func (v *visit) rotations() (err error) {
	p := &rotationsPage{Frame: Frame{Title: "Rotation"}}
	if p.Secrets, err = v.Rotation.Standings(v.Context(), v.who.Tenant); err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

type rotationPage struct {
	Frame
	Rotation rotation.Rotation
	Choices  []rotation.Choice // what a person may say; none: it waits for nobody
	Can      bool              // who is signed in may say it
	Problem  *problem
}

func (*rotationPage) name() string { return "rotation" }

func (v *visit) showRotation() error { return v.rotationPage(http.StatusOK, &rotationPage{}) }

func (v *visit) rotationPage(status int, p *rotationPage) (err error) {
	if p.Rotation, err = v.Rotation.Rotations.Rotation(v.Context(), v.who.Tenant, v.PathValue("rotation")); err != nil {
		return err
	}
	if p.Choices, err = v.Rotation.Choices(v.Context(), p.Rotation); err != nil {
		return err
	}
	p.Title, p.Can = "Rotation", len(p.Choices) > 0 && v.who.Has(ident.Admin)
	v.render(status, p)
	return nil
}

// resolveRotation takes an admin's word on a rotation that waits for one.
func (v *visit) resolveRotation() error {
	p := &rotationPage{}
	if err := v.sayOfRotation(); err != nil {
		status, bad := v.notDone(err, "Nothing was changed")
		if status == http.StatusNotFound {
			return err
		}
		p.Problem = bad
		return v.rotationPage(status, p)
	}
	v.Systems.Rotated()
	v.redirect("/rotations?done=turned")
	return nil
}

// sayOfRotation hands the word on, with a fresh proof. It is about what the page has
// shown, the revision of the rotation: what it would be said of in vain, or of what
// nobody has seen, is refused before a code is spent.
func (v *visit) sayOfRotation() error {
	id, word := v.PathValue("rotation"), rotation.Word(v.PostFormValue("word"))
	seen, err := strconv.ParseInt(v.PostFormValue("seen"), 10, 64)
	if err != nil || seen < 1 {
		return fault.New(fault.Invalid, "it was not said what the page has shown")
	}
	r, err := v.Rotation.Rotations.Rotation(v.Context(), v.who.Tenant, id)
	switch {
	case err != nil:
		return err
	case r.Rev != seen:
		return fault.New(fault.Conflict, "the rotation has gone on since the page was made").WithHint("look at it again")
	}
	choices, err := v.Rotation.Choices(v.Context(), r)
	if err != nil {
		return err
	}
	for _, c := range choices {
		if c.Word != word {
			continue
		}
		f, err := v.fresh(rotation.Act("resolve", v.who, id, string(word)))
		if err != nil {
			return err
		}
		_, err = v.Rotation.Resolve(v.Context(), v.who, id, word, seen, f.ID)
		return err
	}
	return fault.New(fault.Invalid, "that is no word on this rotation as it is")
}
