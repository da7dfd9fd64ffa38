package driver

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits on how long a measurement may wait for a rival that does not answer.
const (
	drainLimit = 20 * time.Second
	equalLimit = 20 * time.Second
)

// Options says how to measure. The zero value of a field stands for the default named there.
type Options struct {
	// Payload is the length of a command in bytes, at least 8; default 256.
	Payload int
	// WarmUp is how long load runs before the measurement; default 1 s.
	WarmUp time.Duration
	// Duration is how long the measurement takes; default 3 s.
	Duration time.Duration
	// Clients is the number of goroutines that propose; default GOMAXPROCS, at most one a cluster.
	Clients int
	// Dir is a directory on the disk to be measured, which is made if need be; each measurement makes its own directory in it and
	// removes it; default the system's directory for temporary files.
	Dir string
}

// Result is one measurement: a rival at a point. The README explains the keys.
type Result struct {
	Point         string  `json:"point"`
	Rival         string  `json:"rival"`
	Repeat        int     `json:"repeat"`
	Clusters      int     `json:"clusters"`
	InFlight      int     `json:"inflight"`
	Payload       int     `json:"payload"`
	OpsPerSecond  float64 `json:"ops_per_s"`
	P50           float64 `json:"p50_us"`
	P99           float64 `json:"p99_us"`
	P999          float64 `json:"p999_us"`
	CPUPerMillion float64 `json:"cpu_s_per_million"`
	SyncsPerS     float64 `json:"syncs_per_s"`
	EntriesASync  float64 `json:"entries_per_sync"`
	Errors        int64   `json:"errors"`
	LastError     string  `json:"last_error,omitempty"`
	StartSeconds  float64 `json:"start_s"`
	Checked       bool    `json:"checked"`
	TotalSyncs    int64   `json:"total_syncs"`
	TotalOps      int64   `json:"total_ops"`
}

// Check reports what of o cannot be measured with.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults returns o with all defaults filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Payload == 0 {
		o.Payload = 256
	}
	if o.WarmUp == 0 {
		o.WarmUp = time.Second
	}
	if o.Duration == 0 {
		o.Duration = 3 * time.Second
	}
	if o.Clients == 0 {
		o.Clients = runtime.GOMAXPROCS(0)
	}
	if o.Payload < stampLen || o.WarmUp < 0 || o.Duration < 0 || o.Clients < 0 {
		return o, errors.New("driver: payload below 8 bytes, or a negative option")
	}
	return o, nil
}

// Run measures one rival at one point, in a set-up of its own with exactly the clusters of the point.
func Run(name string, point Point, opts Options) (Result, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Result{}, err
	}
	rival, err := New(name)
	if err != nil {
		return Result{}, err
	}
	if opts.Dir != "" {
		if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
			return Result{}, err
		}
	}
	dir, err := os.MkdirTemp(opts.Dir, "compare-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)

	begin := time.Now()
	if err := rival.Start(Nodes, dir); err != nil {
		return Result{}, fmt.Errorf("%s: start: %w", name, err)
	}
	defer rival.Close()
	if err := rival.StartClusters(point.Clusters); err != nil {
		return Result{}, fmt.Errorf("%s: start %d clusters: %w", name, point.Clusters, err)
	}
	l := newLoad(rival, point, opts)
	res := Result{
		Point: point.String(), Rival: name, Clusters: point.Clusters, InFlight: point.InFlight, Payload: opts.Payload,
		StartSeconds: time.Since(begin).Seconds(),
	}
	runtime.GC()
	if err := l.run(&res); err != nil {
		return res, fmt.Errorf("%s at %s: %w", name, point, err)
	}
	return res, nil
}

// load is a measurement under way: the clients and what they share.
type load struct {
	rival   Rival
	point   Point
	opts    Options
	phase   atomic.Int32
	clients []*client
}

func newLoad(rival Rival, point Point, opts Options) *load {
	l := &load{rival: rival, point: point, opts: opts}
	for i := range min(opts.Clients, point.Clusters) {
		l.clients = append(l.clients, newClient(i, rival, opts.Payload, &l.phase))
	}
	return l
}

// clustersOf returns the clusters that client i loads. Only one client loads a cluster.
func (l *load) clustersOf(i int) []int {
	var clusters []int
	for c := i; c < l.point.Clusters; c += len(l.clients) {
		clusters = append(clusters, c)
	}
	return clusters
}

// run drives the phases and fills in the result.
func (l *load) run(res *Result) error {
	quit := make(chan struct{})
	var running sync.WaitGroup
	for i, c := range l.clients {
		running.Go(func() { c.run(l.clustersOf(i), l.point.InFlight, quit) })
	}
	time.Sleep(l.opts.WarmUp)
	before := l.sample()
	l.phase.Store(phaseMeasure)
	time.Sleep(l.opts.Duration)
	l.phase.Store(phaseDrain)
	after := l.sample()

	timer := time.AfterFunc(drainLimit, func() { close(quit) })
	running.Wait()
	drained := timer.Stop()
	l.fill(res, before, after)
	if !drained {
		return fmt.Errorf("commands are unanswered after %v; last error %v", drainLimit, res.LastError)
	}
	return l.check(res)
}

// sample is what the process has used up at one time.
type sample struct {
	at    time.Time
	cpu   time.Duration
	stats Stats
}

func (l *load) sample() sample {
	var usage syscall.Rusage
	s := sample{at: time.Now(), stats: l.rival.Stats()}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		s.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return s
}

// fill computes the figures from two samples and the clients' records.
func (l *load) fill(res *Result, before, after sample) {
	var hist Hist
	for _, c := range l.clients {
		hist.Merge(&c.hist)
		res.Errors += c.failed
		res.TotalOps += c.acked
		if c.lastErr != nil {
			res.LastError = c.lastErr.Error()
		}
	}
	seconds := after.at.Sub(before.at).Seconds()
	syncs := after.stats.Syncs - before.stats.Syncs
	res.OpsPerSecond = float64(hist.Count()) / seconds
	res.P50 = micros(hist.Quantile(0.5))
	res.P99 = micros(hist.Quantile(0.99))
	res.P999 = micros(hist.Quantile(0.999))
	if hist.Count() > 0 {
		res.CPUPerMillion = (after.cpu - before.cpu).Seconds() * 1e6 / float64(hist.Count())
	}
	res.SyncsPerS = float64(syncs) / seconds
	if syncs > 0 {
		res.EntriesASync = float64(after.stats.Entries-before.stats.Entries) / float64(syncs)
	}
	res.TotalSyncs = l.rival.Stats().Syncs
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// check waits until the machines of each cluster's members are equal, and compares their counts with what the clients
// saw: every acknowledged command applied, and none more than was proposed and failed.
func (l *load) check(res *Result) error {
	reader, ok := l.rival.(StateReader)
	if !ok {
		return nil
	}
	var applied uint64
	deadline := time.Now().Add(equalLimit)
	for cluster := range l.point.Clusters {
		m, err := settled(reader, cluster, deadline)
		if err != nil {
			return err
		}
		applied += m.Count
	}
	if applied < uint64(res.TotalOps) {
		return fmt.Errorf("%d commands were acknowledged, but only %d applied", res.TotalOps, applied)
	}
	if res.LastError == "" && applied != uint64(res.TotalOps) {
		return fmt.Errorf("%d commands were acknowledged and none failed, but %d applied", res.TotalOps, applied)
	}
	res.Checked = true
	return nil
}

// settled waits until the machines of a cluster's members are equal and returns what they are.
func settled(reader StateReader, cluster int, deadline time.Time) (Machine, error) {
	for {
		first := reader.State(0, cluster)
		equal := true
		for node := 1; node < Nodes; node++ {
			equal = equal && reader.State(node, cluster) == first
		}
		if equal {
			return first, nil
		}
		if time.Now().After(deadline) {
			return first, fmt.Errorf("machines of cluster %d still differ after %v", cluster, equalLimit)
		}
		time.Sleep(time.Millisecond)
	}
}
