// Command bench measures this library: how long a command takes, how many fit into a second, how fast clusters start
// and recover, and what queries cost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// The exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// run does what the arguments say and returns the exit code. When ctx ends it stops measuring, prints what was measured
// until then, and cleans up.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		printHelp(stdout, o.point)
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\nbench: -help tells what there is\n", err)
		return exitUsage
	}
	if err := measure(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "bench: interrupted; the figures are of what was measured until then")
	}
	return exitDone
}

// measure runs all repetitions of a point and prints them. What an interrupted repetition has measured counts too.
func measure(ctx context.Context, o options, stdout io.Writer) (err error) {
	dir, remove, err := dataDir(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	stop, err := startProfiles(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	var results []*result
	for i := range o.repeat {
		res, err := points[o.point].run(ctx, o, filepath.Join(dir, "run-"+strconv.Itoa(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", o.point, err)
		}
		results = append(results, res)
		if o.json {
			if err := printJSON(stdout, res); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if o.json {
		return nil
	}
	return printTable(stdout, o, results)
}

// dataDir returns the directory that the nodes' directories go into, and what removes it if it is a temporary one.
func dataDir(o options) (dir string, remove func() error, err error) {
	if o.data == "" {
		dir, err = os.MkdirTemp("", "heliopolis-bench-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(o.data)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("directory %s is not empty; a measurement must start with nothing", o.data)
	}
	return o.data, func() error { return nil }, err
}
