// Command queue runs quorum queues as RabbitMQ has them, on real input: each queue is a Raft cluster with the machine
// of the package quorumqueue, spawned by name; producers publish the lines of a text; consumers are actors that the
// queues monitor. It is an example of how the library is used, and a test of the whole of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The exit statuses.
const (
	exitGood  = 0
	exitBad   = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status, err := queue(ctx, args, stdin, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil && !errors.Is(err, errSaid):
		fmt.Fprintln(stderr, "queue:", err)
	}
	return status
}

func queue(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error) {
	status = exitBad
	defer func() {
		if errors.Is(err, errUsage) {
			status = exitUsage
		}
	}()
	o, err := parse(args, stderr)
	if err != nil {
		return status, err
	}
	t, err := readInput(o.input, stdin)
	if err != nil {
		return status, err
	}
	d, err := openDirectory(&o, t)
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	r, err := work(ctx, &o, t, d, stderr)
	if r == nil {
		return status, err
	}
	for _, s := range r.verdict.strange {
		fmt.Fprintln(stderr, "queue:", s)
	}
	if err == nil && r.verdict.good() {
		status = exitGood
	}
	if o.json {
		return status, errors.Join(err, r.writeJSON(stdout))
	}
	return status, errors.Join(err, r.write(stdout))
}

// work runs the job and shows how it goes on.
func work(ctx context.Context, o *options, t *text, d *directory, stderr io.Writer) (*report, error) {
	ctx, stop := context.WithCancelCause(ctx)
	p := newProgress(stderr, t.count())
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		p.show(ctx, stop)
	}()
	j := &job{
		o: o, dir: d, logger: newLogger(o.logLevel, stderr), text: t, streams: t.spread(o.queues), progress: p,
	}
	r, err := j.run(ctx)
	stop(nil)
	<-shown
	return r, err
}

// newLogger writes the nodes' messages for people.
func newLogger(level zapcore.Level, w io.Writer) *zap.Logger {
	cfg := zap.NewDevelopmentEncoderConfig()
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), level))
}
