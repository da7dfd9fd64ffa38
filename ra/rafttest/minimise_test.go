package rafttest

import (
	"io"
	"os"
	"slices"
	"testing"
)

// TestMinimise prints the shortest schedule that fails like the one of -minimise, and how to repeat it.
func TestMinimise(t *testing.T) {
	if *minimise == 0 {
		t.Skip("looks for the shortest schedule that fails like the one of -minimise SEED")
	}
	m := Minimise(Options{Seed: *minimise, Events: *events}, os.Stderr)
	if m == nil {
		t.Fatalf("seed %d does not fail", *minimise)
	}
	t.Logf("%d schedules tried; the shortest that still fails:\n%v\n%s", m.Tried, m.Failure, m.Replay())
}

// TestMinimiserFindsWhatMatters lets something fail that needs a killed member and nothing else: of the weather only that
// is left, the schedule is short, and it fails again when it is repeated.
func TestMinimiserFindsWhatMatters(t *testing.T) {
	kills := 0
	o := Options{Seed: 3, Events: 1000, tripwire: func(s *sim) error {
		if s.events == 1 {
			kills = 0
		}
		for _, c := range s.clusters {
			for _, p := range c.members {
				if p.node.up && p.server == nil && p.timer > 0 {
					kills++
				}
			}
		}
		if kills == 0 {
			return nil
		}
		return &Violation{"kill", "a process was killed"}
	}}
	m := Minimise(o, io.Discard)
	if m == nil {
		t.Fatal("does not fail")
	}
	for _, kind := range Kinds() {
		if kind != faultNames[faultKill] && !slices.Contains(m.Options.Calm, kind) {
			t.Errorf("%q does not matter, and is left", kind)
		}
	}
	if _, err := Run(m.Options); err == nil || m.Failure.Event > 100 || len(m.Options.Skip) != m.Failure.Faults-1 {
		t.Errorf("again: %v; %d events, %d of %d faults skipped", err, m.Failure.Event, len(m.Options.Skip), m.Failure.Faults)
	}
}
