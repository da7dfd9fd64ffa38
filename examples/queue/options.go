package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"go.uber.org/zap/zapcore"
)

// options are what the command line says.
type options struct {
	queues, members, nodes, consumers int
	// data is the directory to work in; "" is a fresh one that is removed at the end.
	data string
	// logLevel is the level from which on the nodes' messages are shown.
	logLevel zapcore.Level
	json     bool
	// input is a file, "-" for standard input, or "" for the repository's own documents.
	input string
}

// The numbers that make sense. The bounds are of this program, not of the library.
const (
	maxQueues    = 100_000
	maxMembers   = 9
	maxNodes     = 9
	maxConsumers = 1000
)

const usage = `Usage: queue [flags] [FILE | -]

Publishes every line of a text over replicated queues, has consumers take the lines, kills one of them, closes and
opens all nodes, and proves at the end by what the queues say that each line was published once and acknowledged.
FILE is the text, - is standard input; without either it is README.md and docs/*.md of this repository.

With -data a run that was killed is continued by the next one with the same arguments. Standard input cannot be
continued.

Exit status: 0 if all went well, 1 if something was lost, doubled or failed, 2 for bad usage.

Flags:
`

// errUsage is wrapped by errors that are the user's to mend.
var errUsage = errors.New("bad usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// parse reads the command line. It fails with flag.ErrHelp if help was asked for, which it then has given.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	level := "error"
	f := flag.NewFlagSet("queue", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.IntVar(&o.queues, "queues", 100, "`number` of queues, each a cluster of its own")
	f.IntVar(&o.members, "members", 3, "`number` of members of each queue")
	f.IntVar(&o.nodes, "nodes", 3, "`number` of nodes, all in this process")
	f.IntVar(&o.consumers, "consumers", 4, "`number` of consumers; each queue has two of them, if there are so many")
	f.StringVar(&o.data, "data", "", "data `directory` (default: a temporary one, removed at the end)")
	f.StringVar(&level, "log", level, "show the nodes' messages from this `level` on: debug, info, warn, error")
	f.BoolVar(&o.json, "json", false, "end with one line of JSON instead of the summary")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return o, err
	case err != nil:
		// The flag package has said what is wrong.
		return o, fmt.Errorf("%w: %w", errUsage, errSaid)
	}
	if f.NArg() > 1 {
		return o, usagef("one file at most, not %q", f.Args())
	}
	o.input = f.Arg(0)
	if f.NArg() == 1 && o.input == "" {
		return o, usagef("the name of the file is empty")
	}
	return o, o.validate(level)
}

// errSaid marks errors that were told already.
var errSaid = errors.New("see above")

func (o *options) validate(level string) error {
	for _, n := range []struct {
		flag   string
		value  int
		bounds int
	}{
		{"queues", o.queues, maxQueues}, {"members", o.members, maxMembers},
		{"nodes", o.nodes, maxNodes}, {"consumers", o.consumers, maxConsumers},
	} {
		if n.value < 1 || n.value > n.bounds {
			return usagef("-%s %d is not within 1 and %d", n.flag, n.value, n.bounds)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return usagef("-log %q is none of debug, info, warn and error", level)
	}
	if err := o.logLevel.UnmarshalText([]byte(level)); err != nil {
		return usagef("-log: %w", err)
	}
	return nil
}
