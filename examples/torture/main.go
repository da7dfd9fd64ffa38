// Command torture kills worker processes, cuts the power of their file systems and makes their disks fail and fill up,
// and checks each time that everything that a cluster acknowledged is there, exactly once and in order.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit statuses beside 0.
const (
	exitViolation = 1 // something was not as the library promises, or the campaign could not go on
	exitUsage     = 2
	exitSkipped   = 4 // the campaign needs something that this machine does not have
)

// errSkipped says that a campaign was not run at all, for want of a tool, a permission or a part of the kernel.
var errSkipped = errors.New("skipped")

func main() {
	gate()
	runWorker()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case err == nil:
	case errors.Is(err, errSkipped):
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(exitSkipped)
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	default:
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(exitViolation)
	}
}

// campaigns are the kinds of torture there are.
var campaigns = map[string]func(*options) (stage, error){
	"kill": func(*options) (stage, error) { return killing{}, nil },
}

var errUsage = errors.New("usage: torture CAMPAIGN [flags]; see torture -h")

// run runs the campaign that the arguments name.
func run(ctx context.Context, args []string, out io.Writer) error {
	name, o, err := parse(args)
	if err != nil {
		return err
	}
	l, err := openLedger(o.ledger, name, o.seed)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "heliopolis-torture-"); err != nil {
			return err
		}
		defer func() { _ = os.Remove(o.dir) }() // it is empty, unless a round went wrong
	}
	s, err := campaigns[name](o)
	if err != nil {
		return err
	}
	c := campaign{options: *o, stage: s, ledger: l, out: out}
	if o.json {
		c.out = io.Discard
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(out).Encode(l)
	}
	_, err = fmt.Fprintln(out, l)
	return err
}

// parse reads the command line.
func parse(args []string) (string, *options, error) {
	f := flag.NewFlagSet("torture", flag.ContinueOnError)
	o := &options{}
	f.IntVar(&o.cycles, "cycles", 100, "`number` of cycles; those that are in the ledger already count")
	f.IntVar(&o.nodes, "nodes", 0, "`number` of nodes in the process, 1 or 3; 0 is both in turn")
	f.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "`number` that the settings of the first round are drawn from")
	f.StringVar(&o.dir, "dir", "", "`directory` for data; a temporary one if empty")
	f.StringVar(&o.ledger, "ledger", "", "`file` that keeps the sum over all runs, so that a campaign can be continued")
	f.BoolVar(&o.json, "json", false, "print nothing but the ledger, at the end")
	names := slices.Sorted(maps.Keys(campaigns))
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: torture CAMPAIGN [flags]\n\nCampaigns: %s.\n\n", strings.Join(names, ", "))
		f.PrintDefaults()
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		f.Usage()
		return "", nil, errUsage
	}
	if campaigns[args[0]] == nil {
		return "", nil, fmt.Errorf("%w: no campaign %q", errUsage, args[0])
	}
	if err := f.Parse(args[1:]); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() > 0 || o.cycles < 1 || o.nodes != 0 && o.nodes != 1 && o.nodes != 3 {
		return "", nil, fmt.Errorf("%w: -cycles %d -nodes %d %v", errUsage, o.cycles, o.nodes, f.Args())
	}
	return args[0], o, nil
}
