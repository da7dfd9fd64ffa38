package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
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
	prefix := []string{strace, "-f", "-c", "--seccomp-bpf", "-e", "trace=fdatasync,fsync"}
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

// countCalls adds up the calls in a summary as strace -c prints it: a line for each system call, whose fourth column is
// the number of calls and whose last is the name.
func countCalls(trace string) int64 {
	var calls int64
	lines := bufio.NewScanner(strings.NewReader(trace))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if name := fields[len(fields)-1]; name != "fdatasync" && name != "fsync" {
			continue
		}
		if n, err := strconv.ParseInt(fields[3], 10, 64); err == nil {
			calls += n
		}
	}
	return calls
}
