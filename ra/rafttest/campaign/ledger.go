package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra/rafttest"
)

// ledger is the cumulative figures, as they are in the file.
type ledger struct {
	path string

	Core    series             `json:"core"`
	Storage series             `json:"storage"`
	Decay   series             `json:"decay"`
	Storms  series             `json:"storms"`
	Points  map[string]*series `json:"points"`
}

// series is one kind of run. What it has done is always the first Done of them.
type series struct {
	Done int `json:"done"`
	// Of is how many there are, 0 if there is no end.
	Of         int              `json:"of,omitempty"`
	Seconds    float64          `json:"seconds"`
	Outcome    rafttest.Outcome `json:"outcome"`
	Violations []string         `json:"violations,omitempty"`
}

// openLedger reads the ledger, which may not be there yet.
func openLedger(path string) (*ledger, error) {
	l := &ledger{path: path, Points: map[string]*series{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, l)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	return l, nil
}

// save writes the ledger beside the old one and puts it in its place.
func (l *ledger) save() error {
	b, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return err
	}
	aside := l.path + ".new"
	if err := os.WriteFile(aside, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(aside, l.path)
}

// workload returns the series of a workload that has n points, a new one if they are others than they were.
func (l *ledger) workload(name string, n int) *series {
	s := l.Points[name]
	if s == nil || s.Of != n {
		s = &series{Of: n}
		l.Points[name] = s
	}
	return s
}

// all returns all series with their names, in a fixed order.
func (l *ledger) all() (names []string, all []*series) {
	names, all = []string{"core", "storage", "decay", "storms"}, []*series{&l.Core, &l.Storage, &l.Decay, &l.Storms}
	var workloads []string
	for name := range l.Points {
		workloads = append(workloads, name)
	}
	sort.Strings(workloads)
	for _, name := range workloads {
		names, all = append(names, "points of "+name), append(all, l.Points[name])
	}
	return names, all
}

// recoveries counts those of all series.
func (l *ledger) recoveries() (n int) {
	_, all := l.all()
	for _, s := range all {
		n += s.Outcome.Recoveries
	}
	return n
}

// violations counts those of all series.
func (l *ledger) violations() (n int) {
	_, all := l.all()
	for _, s := range all {
		n += len(s.Violations)
	}
	return n
}

// counts tells what a series came to. The schedules of the core alone count their events and nothing else.
func (l *ledger) counts(s *series) string {
	if s == &l.Core {
		return fmt.Sprintf("%d events", s.Outcome.Events)
	}
	return s.Outcome.String()
}

// String lists the figures, and every violation.
func (l *ledger) String() string {
	var b strings.Builder
	names, all := l.all()
	for i, s := range all {
		if s.Done == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s: %d", names[i], s.Done)
		if s.Of > 0 {
			fmt.Fprintf(&b, " of %d", s.Of)
		}
		fmt.Fprintf(&b, " in %.0f s, %d violations: %s\n", s.Seconds, len(s.Violations), l.counts(s))
		for _, v := range s.Violations {
			fmt.Fprintf(&b, "\t%s\n", strings.ReplaceAll(v, "\n", "\n\t"))
		}
	}
	fmt.Fprintf(&b, "%d recoveries, %d violations in all", l.recoveries(), l.violations())
	return b.String()
}
