package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// A whole run needs time for its elections, but little else.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// do runs the program and returns the report.
func do(t *testing.T, stdin string, args ...string) report {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), append([]string{"-json"}, args...), strings.NewReader(stdin), &stdout, &stderr)
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || strings.Count(stdout.String(), "\n") != 1 {
		t.Fatalf("status %d, %v: %q\n%s", status, err, stdout.String(), stderr.String())
	}
	if status != exitGood || r.Lost != 0 || r.Duplicates != 0 || r.Acknowledged != r.Published {
		t.Errorf("status %d: %s\n%s", status, stdout.String(), stderr.String())
	}
	return r
}

// Whatever bytes there are, each line goes through, in clusters of all shapes.
func TestRuns(t *testing.T) {
	for _, c := range []struct {
		name, stdin string
		lines       uint64
		args        string
	}{
		{"empty", "", 0, "-queues 3"},
		{"one line", "one", 1, "-queues 2"},
		{"empty lines", strings.Repeat("\n", 50), 50, "-queues 4 -consumers 1"},
		{"binary", strings.Repeat("\x00\xff\xfe\r\n\r\n", 100), 200, "-queues 1 -members 1 -nodes 1"},
		{"three on one node", strings.Repeat("the same\n", 300), 300, "-queues 5 -nodes 1"},
		{"more nodes than members", strings.Repeat("x\n", 100), 100, "-queues 6 -members 2 -nodes 4 -consumers 3"},
		{"long lines", strings.Repeat(strings.Repeat("long", 1<<18)+"\n", 12), 12, "-queues 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := do(t, c.stdin, append(strings.Fields(c.args), "-")...)
			if r.Published != c.lines || r.Delivered < c.lines || r.Delivered-r.Redelivered != c.lines {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The default is the repository's own documents. The only consumer dies on the way, so what it had comes again.
func TestDocumentsRun(t *testing.T) {
	text, err := readInput("", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := do(t, "", "-queues", "10", "-consumers", "1")
	if r.Published != text.count() || r.Redelivered == 0 || r.Nodes != 3 || r.Members != 3 || r.RecoverySeconds == 0 {
		t.Errorf("%+v", r)
	}
}

// A finished run that is repeated does nothing; one with another text is refused.
func TestRepeatedRun(t *testing.T) {
	dir := t.TempDir()
	data, text := filepath.Join(dir, "data"), filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("line\n", 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	first := do(t, "", "-queues", "3", "-data", data, text)
	second := do(t, "", "-queues", "3", "-data", data, text)
	if second.Commands != 0 || second.Published != 40 || second.Delivered != first.Delivered {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if err := os.WriteFile(text, []byte(strings.Repeat("line\n", 41)), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if s := run(t.Context(), []string{"-queues", "3", "-data", data, text}, nil, io.Discard, &stderr); s != exitUsage ||
		!strings.Contains(stderr.String(), "another text") {
		t.Errorf("status %d: %s", s, stderr.String())
	}
}

// A run that is interrupted at any stage is continued by the next one.
func TestInterruptedRuns(t *testing.T) {
	text := numbered(400)
	for _, stage := range []string{
		"starting the queues", "publishing", "killing a consumer", "opening the nodes", "draining", "comparing the members",
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			o := options{queues: 3, members: 3, nodes: 3, consumers: 2, data: t.TempDir()}
			_, err := interrupted(t, &o, text, stage, errUnlucky)
			if err != nil && !errors.Is(err, errUnlucky) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if r, err := interrupted(t, &o, text, "", nil); err != nil || !r.verdict.good() || r.Published != text.count() {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// A run in which nothing moves any more says what is lost. Here the last quarter was not looked at yet.
func TestStalledRun(t *testing.T) {
	o := options{queues: 1, members: 1, nodes: 1, consumers: 1, data: t.TempDir()}
	r, err := interrupted(t, &o, numbered(20), "draining", errStalled)
	if !errors.Is(err, errStalled) || r == nil || r.Lost < 10 || r.verdict.good() {
		t.Errorf("%+v, %v", r, err)
	}
}

// interrupted does a run that ends, for a reason, when it comes to a stage.
func interrupted(t *testing.T, o *options, text *text, stage string, why error) (*report, error) {
	d, err := openDirectory(o, text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	p := newProgress(io.Discard, text.count())
	p.begun = func(doing string) {
		if doing == stage {
			stop(why)
		}
	}
	j := &job{
		o: o, dir: d, logger: newLogger(o.logLevel, io.Discard), text: text, streams: text.spread(o.queues), progress: p,
	}
	return j.run(ctx)
}

// The summary for people has all figures.
func TestSummary(t *testing.T) {
	var stdout bytes.Buffer
	if s := run(t.Context(), []string{"-queues", "2", "-"}, strings.NewReader("a\nb\nc\n"), &stdout, io.Discard); s != exitGood {
		t.Errorf("status %d", s)
	}
	for _, want := range []string{"2 queues of 3 members on 3 nodes", "published                 3", "exactly once"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, stdout.String())
		}
	}
	r := report{verdict: &verdict{lost: 1}}
	stdout.Reset()
	if err := r.write(&stdout); err != nil || !strings.Contains(stdout.String(), "NOT RIGHT") {
		t.Errorf("%v: %s", err, stdout.String())
	}
	if keys := reflect.TypeFor[report]().NumField(); keys != 16 {
		t.Errorf("%d fields in the report", keys)
	}
}
