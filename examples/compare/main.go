// Command compare measures replicated logs against each other: the same load, the same disk, runs that take turns.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/compare/commitpath"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// options is the command line.
type options struct {
	points   string
	rivals   string
	baseline string
	repeat   int
	json     bool
	verify   bool
	one      string
	profile  string
	idle     int
	run      driver.Options
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.StringVar(&o.points, "points", "1x1,1x64,1x512,100x8,1000x4", "loads, as clusters x commands in flight in each")
	flags.StringVar(&o.rivals, "rivals", "floor,commitpath,heliopolis,etcd,etcd-async,hashicorp", "what to compare, of "+strings.Join(driver.Names(), ", "))
	flags.StringVar(&o.baseline, "baseline", "etcd", "the rival that ratios refer to")
	flags.IntVar(&o.repeat, "repeat", 3, "how often each rival is measured at each point, taking turns")
	flags.IntVar(&o.run.Payload, "payload", 256, "length of a command in bytes")
	flags.DurationVar(&o.run.WarmUp, "warmup", 5*time.Second, "load before each measurement, until new nodes have zeroed the files of their logs")
	flags.DurationVar(&o.run.Duration, "duration", 3*time.Second, "length of each measurement")
	flags.IntVar(&o.run.Clients, "clients", 0, "goroutines that propose (0: one for each processor)")
	flags.StringVar(&o.run.Dir, "data", "", "directory on the disk to be measured, which is made if need be (default: for temporary files)")
	flags.BoolVar(&o.json, "json", false, "print one JSON object a line instead of a table")
	flags.BoolVar(&o.verify, "verify-sync", false, "count system calls with strace instead of measuring")
	flags.StringVar(&o.one, "one", "", "measure this rival once, at the first point, in this process; print JSON")
	flags.StringVar(&o.profile, "cpuprofile", "", "with -one: write a profile to this file")
	flags.IntVar(&o.idle, "idle", 0, "measure what this many idle members cost instead; print JSON")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Println("compare measures replicated logs against each other: the same load, the same disk, runs that take turns.")
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	case o.repeat < 1:
		return o, fmt.Errorf("%w: -repeat %d, but it is 1 at least", errUsage, o.repeat)
	case !slices.Contains(driver.Names(), o.baseline):
		return o, fmt.Errorf("%w: -baseline %q is none of %s", errUsage, o.baseline, strings.Join(driver.Names(), ", "))
	}
	if err := o.run.Check(); err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	return o, nil
}

// errUsage says that the command line cannot be done.
var errUsage = errors.New("bad usage")

func main() {
	err := run(os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "compare: %v\ncompare: -help tells what there is\n", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	points, err := driver.ParsePoints(o.points)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case o.idle > 0:
		report, err := commitpath.Idle(o.idle)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(report)
	case o.one != "":
		return runOne(o, points[0])
	case o.verify:
		return verifySync(o, points)
	default:
		return compare(o, points)
	}
}
