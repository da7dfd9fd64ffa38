package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// figures are what the killer looks at in the report of a run.
type figures struct {
	Published    uint64  `json:"published"`
	Delivered    uint64  `json:"delivered"`
	Acknowledged uint64  `json:"acknowledged"`
	Redelivered  uint64  `json:"redelivered"`
	Lost         uint64  `json:"lost"`
	Duplicates   uint64  `json:"duplicates"`
	Commands     uint64  `json:"commands"`
	Recovery     float64 `json:"recover_s"`
}

// campaign is a number of rounds. In each a run is killed at random moments and continued, until one ends by itself.
type campaign struct {
	// binary is the program; lines is the length of the text that it is given, and width that of its longest lines.
	binary       string
	lines, width int
	// maxKills bounds the kills of a round.
	maxKills int
	args     []string
	random   *rand.Rand
	// runTime is how long a whole run takes that nobody kills. Kills come within that time.
	runTime time.Duration
}

// outcome is what came of the rounds.
type outcome struct {
	rounds, kills int
	// late is the number of runs that ended before they were to be killed: most often there was little left to do.
	late int
	// redelivered and recovery are the sum and the longest of what the last runs said.
	redelivered uint64
	recovery    float64
}

// build makes the program in a directory.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "queue")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/heliopolis-raft/heliopolis/examples/queue")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return binary, nil
}

// writeText makes a text of lines of many lengths, some of them equal and some empty.
func (c *campaign) writeText(path string) error {
	var b bytes.Buffer
	for i := range c.lines {
		switch i % 7 {
		case 0:
		case 1:
			b.WriteString("the same again")
		default:
			fmt.Fprintf(&b, "%d %0*d", i, c.random.IntN(c.width), i)
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// run does all rounds below a directory, which is emptied after each that was good.
func (c *campaign) run(ctx context.Context, dir string, rounds int, log io.Writer) (*outcome, error) {
	text := filepath.Join(dir, "text")
	if err := c.writeText(text); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := c.finish(ctx, filepath.Join(dir, "measure"), text); err != nil {
		return nil, fmt.Errorf("a run that was not killed: %w", err)
	}
	c.runTime = time.Since(began)
	o := &outcome{}
	for n := range rounds {
		data := filepath.Join(dir, "round-"+strconv.Itoa(n+1))
		f, err := c.round(ctx, data, text, 1+c.random.IntN(c.maxKills), o)
		if err != nil {
			return o, fmt.Errorf("round %d, data in %s: %w", n+1, data, err)
		}
		o.rounds++
		o.redelivered += f.Redelivered
		o.recovery = max(o.recovery, f.Recovery)
		fmt.Fprintf(log, "round %d: %d kills so far, %d published, %d redelivered, recovered in %.3f s\n",
			n+1, o.kills, f.Published, f.Redelivered, f.Recovery)
	}
	return o, nil
}

// round kills some runs over a new directory, lets one end, and checks what it says; then once more, which must change
// nothing.
func (c *campaign) round(ctx context.Context, data, text string, kills int, o *outcome) (*figures, error) {
	for range kills {
		killed, err := c.kill(ctx, data, text)
		if err != nil {
			return nil, err
		}
		if killed {
			o.kills++
		} else {
			o.late++
		}
	}
	last, err := c.finish(ctx, data, text)
	if err != nil {
		return nil, err
	}
	again, err := c.finish(ctx, data, text)
	if err != nil {
		return nil, fmt.Errorf("a finished run, repeated: %w", err)
	}
	if again.Published != last.Published || again.Delivered != last.Delivered || again.Commands != 0 {
		return nil, fmt.Errorf("a finished run, repeated, did something: %+v, before %+v", *again, *last)
	}
	return last, os.RemoveAll(data)
}

// command prepares a run, whose output and messages are kept.
func (c *campaign) command(ctx context.Context, data, text string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	args := append([]string{"-json", "-data", data}, c.args...)
	cmd := exec.CommandContext(ctx, c.binary, append(args, text)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd, &stdout, &stderr
}

// kill begins a run and kills it after a random time. It reports false if the run had ended by itself.
func (c *campaign) kill(ctx context.Context, data, text string) (bool, error) {
	cmd, _, stderr := c.command(ctx, data, text)
	if err := cmd.Start(); err != nil {
		return false, err
	}
	timer := time.AfterFunc(time.Duration(c.random.Int64N(int64(c.runTime))), func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err == nil:
		return false, nil
	case errors.As(err, &exit) && !exit.Exited():
		return true, nil // by a signal
	}
	return false, fmt.Errorf("a run that was to be killed ended with %w: %s", err, stderr)
}

// finish lets a run end by itself, and checks that it is content.
func (c *campaign) finish(ctx context.Context, data, text string) (*figures, error) {
	cmd, stdout, stderr := c.command(ctx, data, text)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s%s", err, stderr, stdout)
	}
	var f figures
	if err := json.Unmarshal(stdout.Bytes(), &f); err != nil {
		return nil, fmt.Errorf("%w: %q", err, stdout)
	}
	lines := uint64(c.lines)
	if f.Lost != 0 || f.Duplicates != 0 || f.Published != lines || f.Acknowledged != lines {
		return nil, fmt.Errorf("wrong figures: %s", stdout)
	}
	return &f, nil
}
