package audit

import "math"

// stream reads what is stored under growing indexes, page by page.
type stream[T any] struct {
	fetch func(from int64) ([]T, error) // a page, in order; an empty one at the end
	index func(T) int64
	next  int64 // where the next page begins
	page  []T
	end   bool // there is no next page
}

// peek shows the next item; false at the end.
func (s *stream[T]) peek() (item T, ok bool, err error) {
	if len(s.page) == 0 && !s.end {
		if s.page, err = s.fetch(s.next); err != nil {
			return item, false, err
		}
		s.end = len(s.page) == 0
	}
	if len(s.page) == 0 {
		return item, false, nil
	}
	return s.page[0], true, nil
}

// take removes the item that peek has shown.
func (s *stream[T]) take() {
	at := s.index(s.page[0])
	s.page = s.page[1:]
	if at == math.MaxInt64 {
		s.end = true
		return
	}
	s.next = at + 1
}

// at takes the item at index i, if there is one; what comes before it is handed
// to extra.
func (s *stream[T]) at(i int64, extra func(T)) (item T, ok bool, err error) {
	for {
		x, more, err := s.peek()
		if err != nil || !more || s.index(x) > i {
			return item, false, err
		}
		s.take()
		if s.index(x) == i {
			return x, true, nil
		}
		extra(x)
	}
}

// drain hands all that is left to extra.
func (s *stream[T]) drain(extra func(T)) error {
	for {
		x, more, err := s.peek()
		if err != nil || !more {
			return err
		}
		s.take()
		extra(x)
	}
}
