package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/examples/torture/truth"
	"github.com/heliopolis-raft/heliopolis/examples/torture/worker"
)

// workerVariable is the environment variable that makes this very program a worker.
const workerVariable = "HELIOPOLIS_TORTURE_WORKER"

// runWorker is the whole of main in a worker process. It does not return; elsewhere it does nothing.
func runWorker() {
	if os.Getenv(workerVariable) == "" {
		return
	}
	if err := worker.Run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// life is one worker process, from its start to its end.
type life struct {
	truth  *truth.Truth
	cmd    *exec.Cmd
	input  io.WriteCloser
	stderr ending
	// gone is closed when everything that the process wrote was read.
	gone chan struct{}

	mu     sync.Mutex
	seen   map[journal.Kind]bool
	wrong  error // the first thing that was
	reason string
	// tolerant: there is a fault, so that not everything works.
	tolerant bool
	// happened is closed and made anew with every event.
	happened chan struct{}
}

// workerCommand makes the command that runs the worker, which is this program again.
func workerCommand() (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerVariable+"=1")
	return cmd, nil
}

// launch starts a process that does what the plan says, and that nothing is injected into.
func (r *round) launch(plan journal.Plan) (*life, error) {
	cmd, err := workerCommand()
	if err != nil {
		return nil, err
	}
	return start(r.truth, plan, cmd)
}

// start starts a process that does what the plan says, on the slots as they are.
func start(t *truth.Truth, plan journal.Plan, cmd *exec.Cmd) (*life, error) {
	plan.Slots, plan.Client = t.Slots(), t.Client()
	line, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	l := &life{truth: t, cmd: cmd, gone: make(chan struct{}), seen: make(map[journal.Kind]bool), happened: make(chan struct{})}
	cmd.Stderr = &l.stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if l.input, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go l.listen(bufio.NewReaderSize(output, 1<<20))
	if _, err := l.input.Write(append(line, '\n')); err != nil {
		l.kill()
		return nil, errors.Join(err, l.end())
	}
	return l, nil
}

// listen takes in what the process says.
func (l *life) listen(in io.Reader) {
	defer close(l.gone)
	for {
		e, err := journal.Read(in)
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err == nil {
			err = l.truth.Take(e)
		}
		l.note(e, err)
	}
}

// note remembers what an event was, and the first one that was wrong.
func (l *life) note(e journal.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[e.Kind] = true
	if e.Kind == journal.NotOpened {
		l.reason = string(e.Data)
	}
	if l.wrong == nil && !(l.tolerant && e.Kind == journal.Problem) {
		l.wrong = err
	}
	close(l.happened)
	l.happened = make(chan struct{})
}

// tolerate has the process allowed to say from now on that something does not work. A lie stays one.
func (l *life) tolerate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tolerant = true
}

// violation returns the first thing that was wrong, nil if there was none.
func (l *life) violation() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}

// has reports whether an event of that kind came, and what is closed when there is another event.
func (l *life) has(k journal.Kind) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[k], l.happened
}

var errStuck = errors.New("the process does not go on")

// wait waits until done says so, which is asked after every event, or the process is gone. It fails with errStuck if
// that takes longer than patience.
func (l *life) wait(ctx context.Context, done func() bool) error {
	p := newPatience()
	defer p.stop()
	for {
		_, next := l.has(journal.Ready)
		if done() || l.violation() != nil {
			return nil
		}
		select {
		case <-next:
		case <-l.gone:
			return nil
		case <-p.tick():
			if p.spent() {
				return errStuck
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cope waits until all live clusters have done enough since the last Mark.
func (l *life) cope(ctx context.Context, r *round, enough func(*journal.Slot, truth.Answers) bool) error {
	err := l.wait(ctx, func() bool { return len(r.truth.Waiting(enough)) == 0 })
	if errors.Is(err, errStuck) {
		return fmt.Errorf("%w: of clusters %v", err, r.truth.Waiting(enough))
	}
	return err
}

// await waits for an event of that kind, or the end of the process.
func (l *life) await(ctx context.Context, k journal.Kind) error {
	err := l.wait(ctx, func() bool { ok, _ := l.has(k); return ok })
	if err != nil {
		return fmt.Errorf("waiting for event %d: %w", k, err)
	}
	return nil
}

// kill ends the process at once.
func (l *life) kill() { _ = l.cmd.Process.Kill() }

// shut has the process close its nodes and end.
func (l *life) shut() { l.tell(worker.CloseCommand) }

// tell gives the process an order. If it is gone that shows elsewhere.
func (l *life) tell(order string) { _, _ = io.WriteString(l.input, order+"\n") }

// end waits for the end of a process that was killed or shut, and returns what was wrong with it.
func (l *life) end() error {
	<-l.gone
	err := l.cmd.Wait()
	_ = l.input.Close()
	if v := l.violation(); v != nil {
		return v
	}
	return l.judge(err)
}

// judge tells the ends that are expected from others: a process ends well, or is killed.
func (l *life) judge(err error) error {
	var exit *exec.ExitError
	if err == nil {
		return nil
	}
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the process ended by itself: %w: %s", err, l.stderr.last())
}

// ending keeps the last part of what a process says on its standard error output.
type ending struct {
	mu sync.Mutex
	b  []byte
}

// maxEnding bounds what is kept.
const maxEnding = 16 << 10

// Write implements io.Writer.
func (e *ending) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.b = append(e.b, b...)
	if extra := len(e.b) - 2*maxEnding; extra > 0 {
		e.b = append(e.b[:0], e.b[extra:]...)
	}
	return len(b), nil
}

// last returns what was said: of a panic, the reason and what follows.
func (e *ending) last() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := max(len(e.b)-maxEnding, 0)
	for _, mark := range []string{"panic: ", "fatal error: "} {
		if i := bytes.Index(e.b, []byte(mark)); i >= 0 {
			from = min(from, i)
		}
	}
	return bytes.Clone(e.b[from:])
}

// patience measures how long somebody waited, in moments at which this process ran: a machine that sleeps, or stops all
// of its processes for a while, is not a process that hangs.
type patience struct {
	ticker *time.Ticker
	ticks  int
}

// maxTicks is how many seconds patience lasts.
const maxTicks = 240

func newPatience() *patience { return &patience{ticker: time.NewTicker(time.Second)} }

func (p *patience) tick() <-chan time.Time { return p.ticker.C }
func (p *patience) stop()                  { p.ticker.Stop() }

// spent counts a tick.
func (p *patience) spent() bool {
	p.ticks++
	return p.ticks > maxTicks
}
