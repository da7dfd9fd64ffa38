package rafttest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// calmings are the kinds of weather, each with what turns it off, the kinds of faults aside. Those that make the world
// larger come first.
var calmings = []struct {
	name string
	calm func(*Profile)
}{
	{"clusters", func(p *Profile) { p.Clusters = 1 }},
	{"nodes", func(p *Profile) { p.Nodes = min(p.Nodes, 3); p.Members = min(p.Members, 3) }},
	{"clients", func(p *Profile) { p.Clients = 1 }},
	{"lose", func(p *Profile) { p.LoseOneIn = 0 }},
	{"twice", func(p *Profile) { p.TwiceOneIn = 0 }},
	{"reorder", func(p *Profile) { p.ReorderOneIn = 0 }},
	{"stall", func(p *Profile) { p.StallOneIn = 0 }},
	{"late", func(p *Profile) { p.LateOneIn = 0 }},
	{"stale", func(p *Profile) { p.StaleOneIn = 0 }},
	{"change", func(p *Profile) { p.Change = 0 }},
	{"recreate", func(p *Profile) { p.Recreate = 0 }},
	{"snapshots", func(p *Profile) { p.AskOneIn = 0 }},
	{"payload", func(p *Profile) { p.Payload = 8 }},
	{"limits", func(p *Profile) {
		p.MaxEntries, p.MaxInflight, p.MaxBytes, p.MaxInflightBytes, p.MaxBatch = 128, 4096, 64<<10, 16<<20, 0
	}},
	{"slow", func(p *Profile) {
		p.Delay, p.Sync, p.Flush = 200*time.Microsecond, 200*time.Microsecond, 200*time.Microsecond
	}},
	{"chunks", func(p *Profile) { p.Chunk, p.Interval = 1<<20, max(p.Interval, ra.Index(5)) }},
}

// Kinds returns the names of all kinds of weather that can be turned off.
func Kinds() []string {
	var names []string
	for i := range calmings {
		names = append(names, calmings[i].name)
	}
	return append(names, faultNames[:]...)
}

// soothe turns kinds of weather off.
func (p *Profile) soothe(kinds []string) {
	for i := range calmings {
		if slices.Contains(kinds, calmings[i].name) {
			calmings[i].calm(p)
		}
	}
	for k, name := range faultNames {
		if slices.Contains(kinds, name) {
			p.Weights[k] = 0
		}
	}
}

// Minimal is the shortest schedule that was found to fail like another one.
type Minimal struct {
	Options Options
	Failure *Failure
	// Tried is how many schedules were tried.
	Tried int
}

// Replay is the command that repeats it.
func (m *Minimal) Replay() string {
	return fmt.Sprintf("go test ./ra/rafttest -run TestSchedules -v -events %d -seed %d -weather %d -calm %s -skip %s",
		m.Options.Events, m.Options.Seed, m.Options.Weather, orNone(m.Options.Calm), orNone(numbers(m.Options.Skip)))
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "''"
	}
	return strings.Join(list, ",")
}

func numbers(list []int) []string {
	var out []string
	for _, n := range list {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

// minimiser looks for it.
type minimiser struct {
	best      Minimal
	invariant string
	progress  io.Writer
}

// Minimise looks for a schedule that breaks the same invariant as o does, with as few kinds of weather, faults and events
// as it can find: greedily, kind by kind, with other seeds of the same weather when the present one does not fail without
// it; then the earliest failure; then fault by fault. It returns nil if o does not fail.
func Minimise(o Options, progress io.Writer) *Minimal {
	if o.Weather == 0 {
		o.Weather = o.Seed
	}
	_, err := Run(o)
	var f *Failure
	if !errors.As(err, &f) {
		return nil
	}
	m := &minimiser{best: Minimal{Options: o, Failure: f, Tried: 1}, invariant: f.Invariant(), progress: progress}
	m.calm()
	m.hurry()
	m.spare()
	return &m.best
}

// Invariant names what was broken: an id, "panic", or "" for something else.
func (f *Failure) Invariant() string {
	var v *Violation
	switch {
	case errors.As(f.Err, &v):
		return v.Invariant
	case strings.HasPrefix(f.Err.Error(), "panic"):
		return "panic"
	}
	return ""
}

// try runs a schedule, and takes it over if it fails in the same way, no later than limit.
func (m *minimiser) try(o Options, limit int) bool {
	m.best.Tried++
	_, err := Run(o)
	var f *Failure
	if !errors.As(err, &f) || f.Invariant() != m.invariant || f.Event > limit {
		return false
	}
	m.best.Options, m.best.Failure = o, f
	fmt.Fprintf(m.progress, "%d tried: %s at event %d, without %s, %d faults skipped\n",
		m.best.Tried, m.invariant, f.Event, orNone(o.Calm), len(o.Skip))
	return true
}

// The seeds that are tried for each kind of weather, and for an earlier failure.
const (
	calmSeeds  = 60
	hurrySeeds = 400
)

const noLimit = 1 << 30

// calm turns off one kind of weather after the other.
func (m *minimiser) calm() {
	for _, kind := range Kinds() {
		o := m.best.Options
		o.Calm = append(slices.Clone(o.Calm), kind)
		for range calmSeeds {
			if m.try(o, noLimit) {
				break
			}
			o.Seed++
		}
	}
}

// hurry looks for an earlier failure in the same weather.
func (m *minimiser) hurry() {
	m.cut()
	o := m.best.Options
	for range hurrySeeds {
		o.Seed++
		o.Events = m.best.Options.Events
		if m.try(o, m.best.Failure.Event-1) {
			m.cut()
		}
	}
}

// cut ends the schedule with its failure.
func (m *minimiser) cut() {
	o := m.best.Options
	if o.Events = m.best.Failure.Event; o.Events < m.best.Options.Events {
		m.try(o, noLimit)
	}
}

// spare leaves out faults, one after the other, from the last on.
func (m *minimiser) spare() {
	for n := m.best.Failure.Faults; n >= 1; n-- {
		if o := m.best.Options; !slices.Contains(o.Skip, n) {
			o.Skip = append(slices.Clone(o.Skip), n)
			m.try(o, m.best.Failure.Event)
		}
	}
}
