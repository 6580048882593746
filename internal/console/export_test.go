package console

import (
	"bytes"
	"reflect"
)

// Pages gives an empty value of each page's data.
func Pages() []any {
	out := make([]any, len(pages))
	for i, p := range pages {
		out[i] = reflect.New(reflect.TypeOf(p).Elem()).Interface()
	}
	return out
}

// Name is a page's name.
func Name(p any) string { return p.(page).name() }

// Markup executes a page's template with its data.
func Markup(p any) (string, error) {
	var b bytes.Buffer
	err := templates[p.(page).name()].ExecuteTemplate(&b, "frame", p)
	return b.String(), err
}

// Visible is the text that visible makes, and the same with what is odd left out.
func Visible(s string) (all, plain string) {
	for _, p := range visible(s) {
		all += p.Text
		if !p.Odd {
			plain += p.Text
		}
	}
	return all, plain
}

// LocalPath is where signing in leads.
var LocalPath = localPath
