package console

import (
	"strings"

	"sallyport.dev/internal/origin"
)

// traced gives each argument the origins of the values in it. A place that was
// shortened or has become a Secret since belongs to none, and is in the list above
// them.
func traced(args []arg, r *origin.Report) []arg {
	if r == nil {
		return args
	}
	for i := range args {
		at := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(args[i].Name)
		for _, o := range r.Origins {
			if o.At == at || strings.HasPrefix(o.At, at+"/") {
				args[i].Origins = append(args[i].Origins, o)
			}
		}
	}
	return args
}
