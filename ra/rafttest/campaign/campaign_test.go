package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra/rafttest"
)

// campaignOn continues the campaign of a ledger.
func campaignOn(t *testing.T, path string) *campaign {
	t.Helper()
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	return &campaign{options: &options{ledger: path, workers: 2}, ledger: l}
}

// TestResume: a campaign that is interrupted and goes on comes to the same as one that was not.
func TestResume(t *testing.T) {
	once := campaignOn(t, filepath.Join(t.TempDir(), "once.json"))
	once.storage = 30
	if err := once.runStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "twice.json")
	for _, n := range []int{11, 30} {
		c := campaignOn(t, path)
		c.storage = n
		if err := c.runStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, want := campaignOn(t, path).ledger.Storage, once.ledger.Storage
	if got.Done != 30 || got.Outcome != want.Outcome || got.Outcome.Recoveries == 0 || len(got.Violations) > 0 {
		t.Errorf("in two parts: %+v\nat once: %+v", got, want)
	}
}

// TestViolations: what breaks is kept in the ledger, and does not end the campaign at once.
func TestViolations(t *testing.T) {
	c := campaignOn(t, filepath.Join(t.TempDir(), "broken.json"))
	s := c.ledger.workload("test", 3*chunk)
	err := c.advance(t.Context(), "test", s, 3*chunk, func(i int) (rafttest.Outcome, error) {
		if i%100 == 7 {
			return rafttest.Outcome{}, because(errors.New("broken"), "go test -point %d", i)
		}
		return rafttest.Outcome{Recoveries: 1}, nil
	})
	again := campaignOn(t, c.ledger.path)
	if s := again.ledger.Points["test"]; err != nil || s.Done != 3*chunk || len(s.Violations) != 6 || again.ledger.violations() != 6 {
		t.Errorf("%v: %+v", err, s)
	}
	if n := again.ledger.recoveries(); n != 3*chunk-6 {
		t.Errorf("%d recoveries", n)
	}
	if s := again.ledger.workload("test", 1); s.Done != 0 {
		t.Errorf("another workload of that name has %+v", s)
	}
}

// TestCounts: what a series does not count is not told as if there were none of it.
func TestCounts(t *testing.T) {
	var l ledger
	l.Core = series{Done: 2, Outcome: rafttest.Outcome{Events: 3000}}
	l.Storage = series{Done: 3, Outcome: rafttest.Outcome{Events: 5000}}
	lines := strings.Split(l.String(), "\n")
	if want := "core: 2 in 0 s, 0 violations: 3000 events"; lines[0] != want {
		t.Errorf("%q, want %q", lines[0], want)
	}
	if !strings.HasPrefix(lines[1], "storage: 3 in 0 s, 0 violations: 5000 events, 0 elections, ") {
		t.Errorf("%q", lines[1])
	}
}
