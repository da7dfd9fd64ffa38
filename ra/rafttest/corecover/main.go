// Command corecover says how much of the core's decisions the simulator reaches by itself:
//
//	go test ./ra/rafttest -run 'TestSchedules|TestDecay' -schedules 10000 -coverpkg ./ra/raft -coverprofile FILE
//	go run ./ra/rafttest/corecover -profile FILE -floor 98
//
// It counts the statements of ra/raft, lists the code that was not reached, and ends with status 1 if less than the floor
// was. What decides nothing, or what no correct run reaches, is not counted: see exempt. It must be run in the module's
// directory, whose sources must be those of the profile.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	profile := flag.String("profile", "", "the `file` that go test has written")
	dir := flag.String("dir", "ra/raft", "the package's directory")
	floor := flag.Float64("floor", 0, "how many per cent of the statements must be reached")
	flag.Parse()
	reached, err := run(*profile, *dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "corecover:", err)
		os.Exit(2)
	}
	if reached < *floor {
		fmt.Fprintf(os.Stderr, "corecover: %.2f %% is less than %g %%\n", reached, *floor)
		os.Exit(1)
	}
}

// run prints what was not reached and the sum. It returns the per cent of the statements that count which were reached.
func run(profile, dir string) (float64, error) {
	blocks, err := readProfile(profile, dir)
	if err != nil {
		return 0, err
	}
	source, err := parse(dir)
	if err != nil {
		return 0, err
	}
	var all, reached, left int
	for _, b := range blocks {
		switch {
		case source.exempt(b):
			left += b.statements
			continue
		case b.count > 0:
			reached += b.statements
		default:
			fmt.Printf("not reached: %s/%s:%d.%d, %d\n", dir, b.file, b.line, b.column, b.statements)
		}
		all += b.statements
	}
	if all == 0 {
		return 0, fmt.Errorf("%s has nothing of %s", profile, dir)
	}
	part := 100 * float64(reached) / float64(all)
	fmt.Printf("%d of %d statements of %s are reached, %.2f %%; %d more are exempt\n", reached, all, dir, part, left)
	return part, nil
}
