package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// verifySync runs each rival at each point under strace, and compares the sync system calls with what the rival says
// and with what its answers need: in a closed loop of n commands, n of them at most can share one sync, and each has to
// be synced on two nodes at least.
func verifySync(o options, points []driver.Point) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("-verify-sync needs strace: %w", err)
	}
	prefix := []string{strace, "-f", "--seccomp-bpf", "-s", "4", "-e", "trace=fdatasync,fsync,io_submit"}
	bad := 0
	for _, rival := range strings.Split(o.rivals, ",") {
		for _, point := range points {
			res, trace, err := measure(o, prefix, rival, point)
			if err != nil {
				return err
			}
			verdict := "ok"
			calls := countCalls(trace)
			need := leastSyncs(res, point)
			if calls < res.TotalSyncs || calls < need {
				verdict = "NOT SYNCED"
				bad++
			}
			fmt.Printf("%-8s %-16s %9d commands, %8d syncs counted by the rival, %8d seen by strace, %8d needed: %s\n",
				point, rival, res.TotalOps, res.TotalSyncs, calls, need, verdict)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d runs did not sync what they acknowledged", bad)
	}
	return nil
}

// leastSyncs returns how many syncs a majority of nodes cannot do without for the commands that were acknowledged, if
// all commands in flight share each sync.
func leastSyncs(res driver.Result, point driver.Point) int64 {
	const majority = driver.Nodes/2 + 1
	return majority * res.TotalOps / int64(point.Clusters*point.InFlight)
}

// countCalls counts the syncs that strace saw to begin, a line for each: calls that sync a file, and asynchronous writes that
// are to be durable when they end.
func countCalls(trace string) int64 {
	var calls int64
	lines := bufio.NewScanner(strings.NewReader(trace))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.Contains(line, "fdatasync("), strings.Contains(line, "fsync("):
			calls++
		case strings.Contains(line, "io_submit("):
			calls += int64(strings.Count(line, "aio_rw_flags=RWF_DSYNC"))
		}
	}
	return calls
}
