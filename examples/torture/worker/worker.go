// Package worker is the process that is killed, cut off and lied to: it opens nodes, verifies what it finds there, and
// then has clusters start, work and end until it is stopped. It tells everything that it does and hears in a journal.
package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// machineName is the name that members are stored with.
const machineName = "history"

// The lines of input that a worker understands behind its plan: to close its nodes in good order, and to have every
// idle cluster elect a leader.
const (
	CloseCommand = "close"
	ElectCommand = "elect"
)

// ExitAlone is the exit status of a worker whose input ended: who watched it is gone.
const ExitAlone = 3

// worker is what all parts of the process share.
type worker struct {
	plan    journal.Plan
	events  *journal.Writer
	nodes   []*system.Node
	clients clients
}

// Run does what the plan in the first line of in says, and writes events to out, until in says CloseCommand. If in ends
// before, the whole process does.
func Run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return fmt.Errorf("worker: no plan: %w", lines.Err())
	}
	w := &worker{events: journal.NewWriter(out)}
	if err := json.Unmarshal(lines.Bytes(), &w.plan); err != nil {
		return fmt.Errorf("worker: plan: %w", err)
	}
	w.clients.next = w.plan.Client
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		for lines.Scan() {
			switch lines.Text() {
			case CloseCommand:
				stop()
			case ElectCommand:
				go w.electAll(ctx)
			}
		}
		os.Exit(ExitAlone)
	}()
	return w.run(ctx)
}

// run is the life of the process. Only ctx ends it.
func (w *worker) run(ctx context.Context) error {
	if err := w.open(); err != nil {
		return w.events.Write(journal.Event{Kind: journal.NotOpened, Data: []byte(err.Error())})
	}
	w.tell(journal.Event{Kind: journal.Opened})
	w.report()
	slots := w.settle()
	w.tell(journal.Event{Kind: journal.Ready})
	if w.plan.Load {
		var working sync.WaitGroup
		for _, s := range slots {
			working.Go(func() { s.work(ctx) })
		}
		if w.plan.Churn && w.plan.Nodes > 1 {
			working.Go(func() { w.disturb(ctx) })
		}
		working.Wait()
	}
	<-ctx.Done()
	if err := w.close(); err != nil {
		w.problem("close: %v", err)
	}
	return w.events.Write(journal.Event{Kind: journal.Closed})
}

// open opens all nodes at once.
func (w *worker) open() error {
	fabric, logger := actor.NewFabric(), newLogger()
	w.nodes = make([]*system.Node, w.plan.Nodes)
	return together(w.plan.Nodes, func(i int) (err error) {
		dir := filepath.Join(w.plan.Dir, string(journal.NodeName(i)))
		disk, err := vfs.OpenOS(dir) // stays open until the process ends
		if err != nil {
			return err
		}
		if w.plan.Async {
			disk.AlwaysAsync()
		}
		w.nodes[i], err = system.Open(context.Background(), system.Config{
			Dir: dir, FS: disk, Name: journal.NodeName(i), Fabric: fabric,
			Logger: logger.Named(string(journal.NodeName(i))),
			Machines: map[string]machine.Factory{machineName: func(machine.Init) machine.Machine {
				return &history{every: max(w.plan.SnapshotEvery, 1)}
			}},
			WALFileSize: w.plan.WALFileSize, Buffered: w.plan.Buffered, Snapshots: snapshot.Policy{MinInterval: 1},
		})
		return err
	})
}

// newLogger returns a logger to the standard error output, which is shown if the process comes to a bad end.
func newLogger() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
}

// close closes all nodes at once.
func (w *worker) close() error {
	return together(len(w.nodes), func(i int) error { return w.nodes[i].Close(context.Background()) })
}

// report tells of everything that nodes found and that no crash may leave behind. A torn last write is none of that.
func (w *worker) report() {
	for i, n := range w.nodes {
		r := n.Report()
		var found []string
		add := func(what string, is bool, v any) {
			if is {
				found = append(found, fmt.Sprintf("%s: %v", what, v))
			}
		}
		add("damaged", len(r.Damaged) > 0, r.Damaged)
		add("not started", len(r.NotStarted) > 0, r.NotStarted)
		add("losses", len(r.Losses) > 0, r.Losses)
		add("orphans", len(r.Orphans) > 0, r.Orphans)
		add("high-water mark", errors.Is(r.HighWater, ra.ErrCorrupt), r.HighWater)
		add("segments", len(r.Segments.Damaged)+len(r.Segments.Lost)+len(r.Segments.Degraded)+len(r.Segments.Quarantined) > 0, r.Segments)
		add("snapshots", len(r.Snapshots.Damaged)+len(r.Snapshots.Quarantined) > 0, r.Snapshots)
		if len(found) > 0 {
			w.problem("node %s was opened with %s", journal.NodeName(i), strings.Join(found, "; "))
		}
	}
}

// tell writes an event. Without a journal the process is of no use.
func (w *worker) tell(e journal.Event) {
	if w.events.Write(e) != nil {
		os.Exit(ExitAlone)
	}
}

func (w *worker) problem(format string, args ...any) {
	w.tell(journal.Event{Kind: journal.Problem, Data: fmt.Appendf(nil, format, args...)})
}

// clients gives every client its own number.
type clients struct {
	mu   sync.Mutex
	next uint32
}

func (c *clients) number() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.next
}

// together calls f for 0 to n-1 at the same time, and returns the first error by number.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
