package scrub

import "net/http"

// Header scrubs a header's (or trailer's) values in place. A field whose name
// holds a secret is dropped: no other name for it would be true.
func (s *Set) Header(h http.Header) Report {
	var all Report
	if s.engine() == nil {
		return all
	}
	for key, values := range h {
		for i, v := range values {
			clean, r := s.String(v)
			values[i] = clean
			all.Add(r)
		}
		if _, r := s.String(key); r.Found() {
			delete(h, key)
			all.Add(r)
		}
	}
	return all
}
