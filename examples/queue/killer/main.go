// Command killer proves that the example queue survives SIGKILL: it kills runs at random moments, continues them, and
// checks that every line was published exactly once and acknowledged.
//
//	go run ./examples/queue/killer -rounds 200
//	go run ./examples/queue/killer -rounds 20 -- -queues 1 -members 1 -nodes 1
//
// What follows -- goes to the example. The data of a round that went wrong are kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := kill(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "killer:", err)
		os.Exit(1)
	}
}

func kill(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("killer", flag.ExitOnError)
	rounds := f.Int("rounds", 20, "`number` of rounds")
	lines := f.Int("lines", 3000, "`number` of lines of the text")
	width := f.Int("width", 300, "length of the longest lines in `bytes`")
	kills := f.Int("kills", 5, "`number` of kills in a round at most")
	seed := f.Uint64("seed", uint64(time.Now().UnixNano()), "`number` that the random moments are drawn from")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *lines < 0 || *width < 1 || *kills < 1 {
		return fmt.Errorf("-rounds %d -lines %d -width %d -kills %d: cannot be", *rounds, *lines, *width, *kills)
	}
	dir, err := os.MkdirTemp("", "heliopolis-killer-")
	if err != nil {
		return err
	}
	binary, err := build(dir)
	if err != nil {
		return err
	}
	c := &campaign{
		binary: binary, lines: *lines, width: *width, maxKills: *kills, args: f.Args(),
		random: rand.New(rand.NewPCG(*seed, 0)),
	}
	began := time.Now()
	o, err := c.run(ctx, dir, *rounds, out)
	if err != nil {
		return fmt.Errorf("seed %d: %w", *seed, err)
	}
	fmt.Fprintf(out, "%d rounds, %d kills, %d runs ended before their kill; nothing lost, nothing twice, %d redelivered; "+
		"longest recovery %.3f s; %v, seed %d\n", o.rounds, o.kills, o.late, o.redelivered, o.recovery,
		time.Since(began).Round(time.Second), *seed)
	return os.RemoveAll(dir)
}
