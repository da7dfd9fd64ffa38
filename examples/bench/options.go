package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options is the command line.
type options struct {
	point      string
	clusters   int
	members    int
	nodes      int
	inflight   int
	payload    int
	duration   time.Duration
	warmup     time.Duration
	repeat     int
	entries    int
	level      string
	clients    int
	data       string
	sync       onOff
	json       bool
	cpuprofile string
	memprofile string
}

// point is one thing to measure.
type point struct {
	about    string
	defaults options
	ignores  []string // options that mean nothing here
	run      func(ctx context.Context, o options, dir string) (*result, error)
}

// pointNames is the order in which help shows the points.
var pointNames = []string{"latency", "throughput", "startup", "recovery", "query"}

var points = map[string]point{
	"latency": {
		about:    "how long a command takes from submit to answer, with few in flight",
		defaults: options{clusters: 1, inflight: 1},
		ignores:  []string{"entries", "level"},
		run:      runLoad,
	},
	"throughput": {
		about:    "how many commands many clusters answer in a second",
		defaults: options{clusters: 100, inflight: 16},
		ignores:  []string{"entries", "level"},
		run:      runLoad,
	},
	"startup": {
		about:    "starts all clusters at once; then what they cost while idle, for -duration",
		defaults: options{clusters: 1000, inflight: 1},
		ignores:  []string{"entries", "level", "inflight", "warmup", "payload"},
		run:      runStartup,
	},
	"recovery": {
		about:    "writes -entries, closes all nodes and opens them again on what is on disk",
		defaults: options{clusters: 100, inflight: 64},
		ignores:  []string{"level", "duration", "warmup"},
		run:      runRecovery,
	},
	"query": {
		about:    "how many questions -clients ask in a second, one at a time each",
		defaults: options{clusters: 1, inflight: 1, clients: 16},
		ignores:  []string{"entries", "inflight", "payload"},
		run:      runQuery,
	},
}

// The bounds of what can be asked for. Beyond them the bench's own memory would be what is measured.
const (
	maxClusters = 1_000_000
	maxReplicas = 15
	maxInFlight = 1 << 20 // over all clusters
	maxPayload  = 15 << 20
	maxEntries  = 1 << 32
	maxClients  = 1 << 16
)

// The levels of a query.
const (
	levelLocal      = "local"
	levelLeader     = "leader"
	levelConsistent = "consistent"
)

// onOff is a flag that is on or off.
type onOff bool

func (v *onOff) String() string {
	if *v {
		return "on"
	}
	return "off"
}

func (v *onOff) Set(s string) error {
	switch s {
	case "on":
		*v = true
	case "off":
		*v = false
	default:
		return errors.New("must be on or off")
	}
	return nil
}

// flagSet returns the flags that fill o, with the point's defaults.
func flagSet(o *options, p point) *flag.FlagSet {
	*o = options{sync: true}
	d := p.defaults
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&o.clusters, "clusters", d.clusters, "`number` of clusters")
	f.IntVar(&o.members, "members", 3, "`number` of members of each cluster")
	f.IntVar(&o.nodes, "nodes", 3, "`number` of nodes, all in this process, each with its own log and directory")
	f.IntVar(&o.inflight, "inflight", d.inflight, "`commands` in flight in each cluster at any time")
	f.IntVar(&o.payload, "payload", 256, "length of a command in `bytes`")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "`length` of the measurement; for startup, of watching the idle clusters")
	f.DurationVar(&o.warmup, "warmup", time.Second, "`length` of the load before the measurement")
	f.IntVar(&o.repeat, "repeat", 1, "`number` of repetitions, each with new nodes")
	f.IntVar(&o.entries, "entries", 100_000, "`number` of commands to recover, over all clusters")
	f.StringVar(&o.level, "level", levelConsistent, "how a query is answered: local, leader or consistent")
	f.IntVar(&o.clients, "clients", d.clients, "`goroutines` that submit or ask; 0 is one for each processor")
	f.StringVar(&o.data, "data", "", "`directory` for the data, which stay there; it must be empty (default: a temporary one, removed at the end)")
	f.Var(&o.sync, "sync", "`on or off`: whether the disk is asked to make data durable")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line for each repetition")
	f.StringVar(&o.cpuprofile, "cpuprofile", "", "write a profile of the processor to this `file`")
	f.StringVar(&o.memprofile, "memprofile", "", "write a profile of allocations to this `file`")
	return f
}

// parse reads the command line. Options that mean nothing at the point are named on stderr.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	if len(args) == 0 {
		return o, fmt.Errorf("name a point: %s", strings.Join(pointNames, ", "))
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		return o, flag.ErrHelp
	}
	p, ok := points[args[0]]
	if strings.HasPrefix(args[0], "-") {
		return o, fmt.Errorf("%s stands before the point: name one of %s first", args[0], strings.Join(pointNames, ", "))
	}
	if !ok {
		return o, fmt.Errorf("no point %q; there are %s", args[0], strings.Join(pointNames, ", "))
	}
	flags := flagSet(&o, p)
	o.point = args[0]
	if err := flags.Parse(args[1:]); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains(p.ignores, f.Name) {
			fmt.Fprintf(stderr, "bench: -%s means nothing for %s\n", f.Name, o.point)
		}
	})
	return o, o.validate()
}

// bound is the range that an option must be in.
type bound struct {
	flag            string
	value, min, max int
}

// validate refuses what cannot be measured.
func (o options) validate() error {
	for _, b := range []bound{
		{"clusters", o.clusters, 1, maxClusters},
		{"members", o.members, 1, maxReplicas},
		{"nodes", o.nodes, 1, maxReplicas},
		{"inflight", o.inflight, 1, maxInFlight / max(o.clusters, 1)},
		{"payload", o.payload, 1, maxPayload},
		{"repeat", o.repeat, 1, 1000},
		{"entries", o.entries, 1, maxEntries},
		{"clients", o.clients, 0, maxClients},
	} {
		if b.value < b.min || b.value > b.max {
			return fmt.Errorf("-%s is %d, allowed are %d to %d", b.flag, b.value, b.min, b.max)
		}
	}
	if o.duration <= 0 || o.warmup < 0 {
		return errors.New("-duration must be above 0 and -warmup not below")
	}
	if !slices.Contains([]string{levelLocal, levelLeader, levelConsistent}, o.level) {
		return fmt.Errorf("-level is %q, allowed are local, leader, consistent", o.level)
	}
	return nil
}

// printHelp tells all that there is, with the flags of one point if one is named.
func printHelp(w io.Writer, name string) {
	fmt.Fprint(w, "usage: bench POINT [flags]\n\npoints:\n")
	for _, name := range pointNames {
		fmt.Fprintf(w, "  %-11s %s\n", name, points[name].about)
	}
	if name == "" {
		name = pointNames[0]
		fmt.Fprintf(w, "\nflags of %s (bench POINT -help shows those of another):\n", name)
	} else {
		fmt.Fprintf(w, "\nflags of %s:\n", name)
	}
	printFlags(w, points[name])
	fmt.Fprint(w, "\nfigures, and keys of -json:\n")
	fmt.Fprintf(w, "  %-22s %s\n", "point", "what was measured")
	for _, k := range keys {
		fmt.Fprintf(w, "  %-22s %s\n", k.name, k.meaning)
	}
}

// printFlags shows the flags that mean something at a point.
func printFlags(w io.Writer, p point) {
	var o options
	shown := flag.NewFlagSet("bench", flag.ContinueOnError)
	shown.SetOutput(w)
	flagSet(&o, p).VisitAll(func(f *flag.Flag) {
		if !slices.Contains(p.ignores, f.Name) {
			shown.Var(f.Value, f.Name, f.Usage)
		}
	})
	shown.PrintDefaults()
}
