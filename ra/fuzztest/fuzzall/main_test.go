package main

import (
	"slices"
	"strings"
	"testing"
)

// What a test prints while it fuzzes is understood.
func TestCounts(t *testing.T) {
	m := counts.FindStringSubmatch("fuzz: elapsed: 9s, execs: 70512 (10765/sec), new interesting: 31 (total: 35)")
	if len(m) != 3 || m[1] != "70512" || m[2] != "35" {
		t.Errorf("%q", m)
	}
	if m := counts.FindStringSubmatch("fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed"); m != nil {
		t.Errorf("%q", m)
	}
}

// A turn that ran out of time has found nothing.
func TestTimedOut(t *testing.T) {
	const late = "--- FAIL: FuzzA (10.11s)\n    context deadline exceeded\nFAIL\n"
	if !timedOut(late) || timedOut("--- FAIL: FuzzA (3s)\n    panic: x") || timedOut(late+"Failing input written to testdata/fuzz/FuzzA/1") {
		t.Error("taken for something else")
	}
}

// Targets are found by how they begin.
func TestFuzzNames(t *testing.T) {
	names, err := fuzzNames("../../../wal")
	if err != nil || !slices.Contains(names, "FuzzRecovery") || !slices.Contains(names, "FuzzStateFile") {
		t.Errorf("%q, %v", names, err)
	}
	if names, err := fuzzNames("."); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
}

// Who is behind comes first, then everybody, until there were enough.
func TestDue(t *testing.T) {
	a, b := &target{Name: "FuzzA", Execs: 50}, &target{Name: "FuzzB", Execs: 5}
	c := campaign{n: 100, least: 10, targets: []*target{a, b}}
	if due := c.due(); len(due) != 1 || due[0] != b {
		t.Errorf("%d are due", len(due))
	}
	b.Execs = 20
	if due := c.due(); len(due) != 2 {
		t.Errorf("%d are due", len(due))
	}
	a.Execs = 80
	if due := c.due(); len(due) != 0 {
		t.Errorf("%d are due", len(due))
	}
}

// What was counted is found again, for targets that are still there.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	c := campaign{dir: dir, targets: []*target{{Package: "p", Name: "FuzzA", Execs: 7, Inputs: 3}, {Package: "p", Name: "FuzzGone", Execs: 1}}}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	again := campaign{dir: dir, out: &out, targets: []*target{{Package: "p", Name: "FuzzA", binary: "x"}, {Package: "p", Name: "FuzzNew"}}}
	if err := again.load(); err != nil {
		t.Fatal(err)
	}
	if a := again.targets[0]; a.Execs != 7 || a.Inputs != 3 || a.binary != "x" || again.sum() != 7 {
		t.Errorf("%+v, %d in all", a, again.sum())
	}
	again.table()
	if !strings.Contains(out.String(), "| p | FuzzA | 7 |") {
		t.Errorf("%s", &out)
	}
}
