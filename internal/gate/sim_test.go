package gate_test

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
)

// sim runs one schedule: tasks that stop before each thing that they do with what
// is shared, and a scheduler that picks which goes on, or what else happens. A
// schedule is the list of what was picked, so it can be run again and told.
type sim struct {
	prefix  []int // what to pick first
	taken   []int
	widths  []int
	trace   []string
	visited map[uint64]bool
	tasks   []*task
	current *task  // whose step it is
	wrong   string // the property that does not hold
	seed    maphash.Seed
}

// task is one call of the product's code, in a goroutine that never runs beside
// another.
type task struct {
	name   string
	proc   int // the process that it dies with; 0: none
	at     string
	past   []string // what it has seen so far: its local state
	resume chan bool
	parked chan bool
	done   bool
	sound  bool // what it rechecked was sound
	fence  int64
}

type schedulePruned struct{}

// pick is the scheduler's choice among labels; at a settled point the state is
// looked up first: one that was met before has all its continuations explored.
func (s *sim) pick(labels []string, state func() string) int {
	n := len(s.taken)
	if n >= len(s.prefix) && state != nil {
		var h maphash.Hash
		h.SetSeed(s.seed)
		_, _ = h.WriteString(state())
		if key := h.Sum64(); s.visited[key] {
			panic(schedulePruned{})
		} else {
			s.visited[key] = true
		}
	}
	i := 0
	if n < len(s.prefix) {
		i = s.prefix[n]
	}
	s.taken, s.widths = append(s.taken, i), append(s.widths, len(labels))
	s.trace = append(s.trace, labels[i])
	return i
}

// choose is a choice within a step, with the least harmful first.
func (s *sim) choose(labels ...string) string {
	if len(labels) == 1 {
		return labels[0]
	}
	return labels[s.pick(labels, nil)]
}

func (s *sim) fail(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

// spawn begins a task; it stops before the first thing that it does with what is
// shared.
func (s *sim) spawn(name string, proc int, fn func(*task)) *task {
	t := &task{name: name, proc: proc, resume: make(chan bool), parked: make(chan bool)}
	s.tasks = append(s.tasks, t)
	spawner := s.current
	s.current = t
	go func() {
		defer func() {
			t.done = true
			t.parked <- true
		}()
		fn(t)
	}()
	<-t.parked
	s.current = spawner
	return t
}

// wait parks the task until the scheduler lets it go on; false: it is dead.
func (t *task) wait(at string) bool {
	t.at = at
	t.parked <- true
	return <-t.resume
}

// yield parks the current task before it does something.
func (s *sim) yield(at string) *task {
	t := s.current
	if !t.wait(at) {
		runtime.Goexit()
	}
	s.current = t
	return t
}

// saw adds to a task's local state what it was told.
func (t *task) saw(format string, args ...any) { t.past = append(t.past, fmt.Sprintf(format, args...)) }

// step lets a task do one thing.
func (s *sim) step(t *task) {
	s.current = t
	t.resume <- true
	<-t.parked
	s.current = nil
}

// kill ends the tasks of a process where they are.
func (s *sim) kill(which func(*task) bool) {
	for _, t := range s.tasks {
		if !t.done && which(t) {
			t.resume <- false
			<-t.parked
		}
	}
	s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool { return t.done })
}

// local is what the tasks know, as a part of the state.
func (s *sim) local() string {
	var parts []string
	for _, t := range s.tasks {
		parts = append(parts, fmt.Sprintf("%s/%d@%s:%s:%v:%d", t.name, t.proc, t.at, strings.Join(t.past, ","), t.sound, t.fence))
	}
	slices.Sort(parts)
	return strings.Join(parts, ";")
}

// explored is what an exploration came to.
type explored struct {
	schedules, states, steps int
	wrong                    string
	trace                    []string
}

// explore runs every schedule of a scenario, depth first. It ends at the first
// that breaks a property.
func explore(sc scenario, most int) explored {
	var out explored
	visited, seed := map[uint64]bool{}, maphash.MakeSeed()
	var prefix []int
	for {
		s := &sim{prefix: prefix, visited: visited, seed: seed}
		s.play(sc)
		out.schedules++
		out.steps += len(s.taken) - len(prefix)
		if s.wrong != "" {
			out.wrong, out.trace, out.states = s.wrong, s.trace, len(visited)
			return out
		}
		i := len(s.taken) - 1
		for i >= 0 && s.taken[i]+1 >= s.widths[i] {
			i--
		}
		if i < 0 || most > 0 && out.schedules >= most {
			out.states = len(visited)
			return out
		}
		prefix = append(slices.Clone(s.taken[:i]), s.taken[i]+1)
	}
}

// play runs one schedule to its end, or to a state that was met before.
func (s *sim) play(sc scenario) {
	w := newSimWorld(s, sc)
	defer s.kill(func(*task) bool { return true })
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(schedulePruned); !ok {
				panic(r)
			}
		}
	}()
	for s.wrong == "" {
		s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool { return t.done })
		labels, acts := w.options()
		if len(labels) == 0 {
			w.checkEnd()
			return
		}
		acts[s.pick(labels, func() string { return w.state() + "|" + s.local() })]()
	}
}
