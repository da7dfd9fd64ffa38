// Command fuzzall runs all fuzz targets of the module in turn until they have been executed often enough, and keeps count.
//
//	go run ./ra/fuzztest/fuzzall -n 10000000 -dir DIR
//
// It says after each turn how far it is. Stopped and started again with the same directory it goes on. When an input is
// found that fails it ends with status 1; the input is in testdata/fuzz of its package then, and a plain go test fails.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	c := campaign{out: os.Stdout}
	flag.Int64Var(&c.n, "n", 10_000_000, "executions of all targets together")
	flag.Int64Var(&c.least, "least", 20_000, "executions of each target at least")
	flag.DurationVar(&c.turn, "turn", 10*time.Second, "how long one target runs before the next has its turn")
	flag.IntVar(&c.parallel, "parallel", 2, "processes at a time")
	flag.StringVar(&c.dir, "dir", "", "where the count is kept; nowhere if empty")
	flag.Parse()
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzall:", err)
		os.Exit(1)
	}
}

// target is what is known of one fuzz target.
type target struct {
	Package, Name string
	Execs         int64
	Seconds       float64
	// Inputs is how many inputs there are that each reach something of their own.
	Inputs int64

	dir, binary string
	idle        int // turns in a row in which nothing was executed
}

// maxIdle is how many turns in a row may pass without an execution, on a machine that has no time.
const maxIdle = 5

// campaign is a run of all targets.
type campaign struct {
	n, least int64
	turn     time.Duration
	parallel int
	dir      string
	out      io.Writer
	// bin is where the programs are, corpus where the inputs are kept that reach something of their own.
	bin, corpus string
	targets     []*target
}

// run gives all targets their turns until there were enough. Those that are behind come first.
func (c *campaign) run() error {
	var err error
	if c.bin, err = os.MkdirTemp("", "fuzzall"); err != nil {
		return err
	}
	defer os.RemoveAll(c.bin)
	c.corpus = filepath.Join(c.bin, "corpus")
	if c.dir != "" {
		if c.corpus, err = filepath.Abs(filepath.Join(c.dir, "corpus")); err != nil {
			return err
		}
	}
	if err := c.find(); err != nil {
		return err
	}
	if err := c.load(); err != nil {
		return err
	}
	for due := c.due(); len(due) > 0; due = c.due() {
		for _, t := range due {
			if err := c.fuzz(t); err != nil {
				return fmt.Errorf("%s %s: %w", t.Package, t.Name, err)
			}
			if err := c.save(); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "%d of %d: %s %s %d\n", c.sum(), c.n, t.Package, t.Name, t.Execs)
		}
	}
	c.table()
	return nil
}

// find lists the targets, and builds the programs that run them: with the counters of coverage that lead a fuzzer.
func (c *campaign) find() error {
	packages, err := output("go", "list", "-f", "{{.ImportPath}} {{.Dir}}", "./...")
	if err != nil {
		return err
	}
	for line := range strings.Lines(packages) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		names, err := fuzzNames(dir)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		binary := filepath.Join(c.bin, strings.ReplaceAll(path, "/", "_")+".test")
		if _, err := output("go", "test", "-c", "-fuzz", ".", "-o", binary, path); err != nil {
			return err
		}
		for _, name := range names {
			c.targets = append(c.targets, &target{Package: path, Name: name, dir: dir, binary: binary})
		}
	}
	if len(c.targets) == 0 {
		return errors.New("there are no fuzz targets here")
	}
	return nil
}

// output runs a command and returns what it says.
func output(name string, args ...string) (string, error) {
	var errs strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, &errs)
	}
	return string(out), nil
}

// declared is how a target begins.
var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// fuzzNames returns the targets in a directory.
func fuzzNames(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range declared.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names, nil
}

// due returns those who have their turn now: who is below the least, or else everybody, as long as the sum is not reached.
func (c *campaign) due() []*target {
	var behind []*target
	for _, t := range c.targets {
		if t.Execs < c.least {
			behind = append(behind, t)
		}
	}
	if len(behind) > 0 || c.sum() >= c.n {
		return behind
	}
	return c.targets
}

func (c *campaign) sum() (n int64) {
	for _, t := range c.targets {
		n += t.Execs
	}
	return n
}

// counts is how a test says how far it is.
var counts = regexp.MustCompile(`execs: (\d+) .*\(total: (\d+)\)`)

// fuzz gives a target its turn.
func (c *campaign) fuzz(t *target) error {
	cmd := exec.Command(t.binary, "-test.run", "^$", "-test.fuzz", "^"+t.Name+"$", "-test.fuzztime", c.turn.String(),
		"-test.fuzzminimizetime", "20x", "-test.fuzzcachedir", filepath.Join(c.corpus, t.Package), "-test.parallel", strconv.Itoa(c.parallel))
	cmd.Dir = t.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout // there it says how far it is
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	var execs int64
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		if m := counts.FindStringSubmatch(lines.Text()); m != nil {
			execs, _ = strconv.ParseInt(m[1], 10, 64) // digits only
			t.Inputs, _ = strconv.ParseInt(m[2], 10, 64)
		}
	}
	err = cmd.Wait()
	t.Execs += execs
	t.Seconds += time.Since(begun).Seconds()
	if err != nil && !timedOut(text.String()) {
		return fmt.Errorf("%w\n%s", err, &text)
	}
	if t.idle++; execs > 0 {
		t.idle = 0
	}
	if t.idle >= maxIdle {
		return fmt.Errorf("nothing was executed in %d turns\n%s", t.idle, &text)
	}
	return nil
}

// timedOut reports whether a turn failed only because it ended while a process was busy, as happens on a machine with much
// to do. An input that fails is always written down.
func timedOut(text string) bool {
	return strings.Contains(text, "context deadline exceeded") && !strings.Contains(text, "Failing input written")
}

func (c *campaign) file() string { return filepath.Join(c.dir, "fuzz.json") }

// load reads what was counted before.
func (c *campaign) load() error {
	if c.dir == "" {
		return nil
	}
	b, err := os.ReadFile(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(c.dir, 0o700)
	}
	if err != nil {
		return err
	}
	var before []target
	if err := json.Unmarshal(b, &before); err != nil {
		return err
	}
	for _, t := range c.targets {
		for i := range before {
			if before[i].Package == t.Package && before[i].Name == t.Name {
				t.Execs, t.Seconds, t.Inputs = before[i].Execs, before[i].Seconds, before[i].Inputs
			}
		}
	}
	return nil
}

// save notes what was counted, whole or not at all.
func (c *campaign) save() error {
	if c.dir == "" {
		return nil
	}
	b, err := json.MarshalIndent(c.targets, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file()+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(c.file()+".tmp", c.file())
}

// table prints what there was in all, in Markdown.
func (c *campaign) table() {
	fmt.Fprintf(c.out, "\n| package | target | executions | seconds | inputs kept |\n|---|---|---:|---:|---:|\n")
	for _, t := range c.targets {
		name := t.Package
		if parts := strings.SplitN(name, "/", 4); len(parts) == 4 {
			name = parts[3]
		}
		fmt.Fprintf(c.out, "| %s | %s | %d | %.0f | %d |\n", name, t.Name, t.Execs, t.Seconds, t.Inputs)
	}
	fmt.Fprintf(c.out, "\n%d executions\n", c.sum())
}
