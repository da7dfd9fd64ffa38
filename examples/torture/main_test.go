package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
)

// The processes that tests start are this very program.
func TestMain(m *testing.M) {
	gate()
	runWorker()
	os.Exit(m.Run())
}

// small runs a few cycles of a campaign, as the command does.
func small(t *testing.T, args ...string) *ledger {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts processes and takes some seconds")
	}
	var out bytes.Buffer
	err := run(t.Context(), append(args, "-json", "-dir", t.TempDir()), &out)
	if errors.Is(err, errSkipped) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var l ledger
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	return &l
}

// lively is small for at least so many cycles that something was acknowledged and compared: faults come after a time, and
// on a slow machine the first processes may have done nothing by then.
func lively(t *testing.T, args ...string) {
	t.Helper()
	const few, most = 4, 100
	args = append(args, "-ledger", filepath.Join(t.TempDir(), "ledger"), "-cycles", "")
	for cycles := few; ; cycles += few {
		args[len(args)-1] = strconv.Itoa(cycles)
		l := small(t, args...)
		if l.Cycles < cycles || cycles >= most {
			t.Fatal(l)
		}
		if l.Acked > 0 && l.Compared > 0 {
			return
		}
	}
}

// I9: what was acknowledged survives SIGKILL at any moment.
func TestKill(t *testing.T) {
	for _, nodes := range []string{"1", "3"} {
		lively(t, "kill", "-seed", "5", "-nodes", nodes)
	}
}

// A campaign notices when the log of a node is gone.
func TestNoticesLoss(t *testing.T) {
	c := campaign{options: options{dir: t.TempDir(), nodes: 1}, stage: killing{}, ledger: &ledger{}}
	r := c.newRound(1)
	r.plan.Churn = false
	if err := c.stage.ready(r); err != nil {
		t.Fatal(err)
	}
	l := started(t, r)
	if err := l.wait(t.Context(), func() bool { return r.truth.Counts().Acked > 100 }); err != nil {
		t.Fatal(err)
	}
	l.kill()
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "n1", "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.verify(t.Context()); err == nil {
		t.Error("nothing was noticed")
	} else {
		t.Log(err)
	}
}

// started starts a process for a round.
func started(t *testing.T, r *round) *life {
	t.Helper()
	l, err := r.launch(r.plan)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A process that ends by itself is noticed, and what it said.
func TestNoticesDeath(t *testing.T) {
	c := campaign{options: options{dir: t.TempDir(), nodes: 1}, stage: killing{}, ledger: &ledger{}}
	r := c.newRound(1)
	r.plan.Nodes = -1 // makes the process panic
	l := started(t, r)
	if err := l.await(t.Context(), journal.Ready); err != nil {
		t.Fatal(err)
	}
	if err := l.end(); err == nil || !strings.Contains(err.Error(), "by itself") || !strings.Contains(err.Error(), "panic") {
		t.Error(err)
	}
}

// A ledger goes on where it stopped, and belongs to one campaign.
func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := openLedger(path, "kill", 7)
	if err != nil {
		t.Fatal(err)
	}
	l.Cycles, l.Seed, l.Acked = 5, 9, 11
	l.hit("sync EIO")
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	l, err = openLedger(path, "kill", 1)
	if err != nil || l.Cycles != 5 || l.Seed != 9 || l.Acked != 11 || l.Hits["sync EIO"] != 1 {
		t.Error(l, err)
	}
	if _, err := openLedger(path, "power", 1); err == nil {
		t.Error("the ledger of another campaign was taken")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(path, "kill", 1); err == nil {
		t.Error("half a ledger was taken")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"-h"}, {"nothing"}, {"kill", "-cycles", "0"}, {"kill", "-nodes", "2"}, {"kill", "more"}} {
		if err := run(context.Background(), args, &bytes.Buffer{}); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
