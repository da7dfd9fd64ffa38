package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
)

func TestBadUsage(t *testing.T) {
	for _, args := range []string{
		"-queues 0", "-queues -1", "-queues 100001", "-queues x", "-members 0", "-members 10", "-nodes 0", "-nodes 10",
		"-consumers 0", "-consumers 1001", "-log loud", "-bogus", "a b", "/nonexistent/file", "/", "-data /dev/null /dev/null",
	} {
		var stderr bytes.Buffer
		status := run(t.Context(), strings.Fields(args), strings.NewReader(""), io.Discard, &stderr)
		if status != exitUsage || stderr.Len() == 0 {
			t.Errorf("%s: status %d, said %q", args, status, stderr.String())
		}
	}
	if status := run(t.Context(), []string{""}, nil, io.Discard, io.Discard); status != exitUsage {
		t.Errorf("empty name: status %d", status)
	}
	var stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, nil, io.Discard, &stderr); status != exitGood {
		t.Errorf("help: status %d", status)
	}
	if !strings.Contains(stderr.String(), "-members") {
		t.Errorf("help: %s", stderr.String())
	}
}

func TestOptions(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil || o.queues != 100 || o.members != 3 || o.nodes != 3 || o.json || o.data != "" || o.input != "" {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = parse(strings.Fields("-queues 7 -json -data d -log debug -"), io.Discard)
	if err != nil || o.queues != 7 || !o.json || o.data != "d" || o.input != "-" {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

func TestSplitLines(t *testing.T) {
	for in, want := range map[string][]string{
		"":             {},
		"\n":           {""},
		"a":            {"a"},
		"a\n":          {"a"},
		"a\r\n\r\nb":   {"a\r", "\r", "b"},
		"\n\na\n\n":    {"", "", "a", ""},
		"\x00\xff\n\n": {"\x00\xff", ""},
	} {
		got := []string{}
		for _, line := range splitLines([]byte(in)) {
			got = append(got, string(line))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestLinesThatAreTooLong(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	if _, err := readInput("-", strings.NewReader("a\n"+long+"\n")); err != nil {
		t.Error(err)
	}
	if _, err := readInput("-", strings.NewReader("a\n"+long+"x\n")); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
	longest := quorumqueue.AppendCommand(nil, quorumqueue.Enqueue{
		Producer: strings.Repeat("p", 255), Seq: 1<<64 - 1, Body: []byte(long),
	})
	if len(longest) > maxCommand {
		t.Errorf("the command has %d bytes", len(longest))
	}
}

// The documents are found from anywhere in the repository, and from nowhere else.
func TestDocuments(t *testing.T) {
	here, err := readInput("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if here.sources[0].name != "README.md" || len(here.sources) < 3 || !strings.HasPrefix(here.sources[1].name, "docs/") {
		t.Errorf("%d sources, %s", len(here.sources), here.sources[0].name)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", "docs", "examples/compare/driver"} {
		t.Chdir(filepath.Join(root, dir))
		if there, err := readInput("", nil); err != nil || there.digest() != here.digest() {
			t.Errorf("in %s: %v", dir, err)
		}
	}
	t.Chdir(t.TempDir())
	if _, err := readInput("", nil); !errors.Is(err, errUsage) {
		t.Errorf("outside: %v", err)
	}
}

// Each line is in exactly one stream, and the streams of a source differ by one line at most.
func TestSpread(t *testing.T) {
	for _, queues := range []int{1, 3, 50, 1000} {
		text := numbered(101)
		text.sources = append(text.sources, source{name: "empty"})
		seen := map[string]int{}
		for _, s := range text.spread(queues) {
			if s.total < uint64(101/queues) || s.total > uint64(101/queues+1) || s.queue >= queues {
				t.Errorf("%d queues: queue %d gets %d lines of %s", queues, s.queue, s.total, s.source.name)
			}
			for seq := range s.total {
				seen[string(s.line(seq+1))]++
			}
		}
		if len(seen) != 202 {
			t.Errorf("%d queues: %d lines", queues, len(seen))
		}
		for line, n := range seen {
			if n != 1 {
				t.Errorf("%d queues: %q is there %d times", queues, line, n)
			}
		}
	}
}

// A text has another digest if anything of it is different.
func TestDigest(t *testing.T) {
	digests := map[string]bool{}
	for _, sources := range [][]source{
		nil,
		{{name: "a"}},
		{{name: "a"}, {name: "b"}},
		{{name: "a", lines: [][]byte{nil}}},
		{{name: "a", lines: [][]byte{nil, nil}}},
		{{name: "a", lines: [][]byte{[]byte("xy")}}},
		{{name: "a", lines: [][]byte{[]byte("x"), []byte("y")}}},
		{{name: "a", lines: [][]byte{[]byte("y"), []byte("x")}}},
		{{name: "b", lines: [][]byte{[]byte("y"), []byte("x")}}},
	} {
		digests[(&text{sources: sources}).digest()] = true
	}
	if len(digests) != 9 {
		t.Errorf("%d digests", len(digests))
	}
}

// open opens a data directory for a text.
func open(t *testing.T, dir string, o options, text *text) (*directory, error) {
	t.Helper()
	o.data = dir
	return openDirectory(&o, text)
}

func TestDirectory(t *testing.T) {
	o := options{queues: 2, members: 3, nodes: 2}
	dir := filepath.Join(t.TempDir(), "new", "data")
	d, err := open(t, dir, o, numbered(5))
	if err != nil || d.manifest.Started {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := open(t, dir, o, numbered(5)); !errors.Is(err, errUsage) {
		t.Errorf("a second run at the same time: %v", err)
	}
	leftover := filepath.Join(d.node(1), "file")
	if err := errors.Join(os.MkdirAll(d.node(1), 0o755), os.WriteFile(leftover, nil, 0o644), d.close()); err != nil {
		t.Fatal(err)
	}
	// A run that had not started all queues leaves nothing that is of use.
	if d, err = open(t, dir, o, numbered(5)); err != nil || d.manifest.Started {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
	if err := errors.Join(os.MkdirAll(d.node(1), 0o755), os.WriteFile(leftover, nil, 0o644), d.started(), d.close()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*options){
		"queues":  func(o *options) { o.queues = 3 },
		"members": func(o *options) { o.members = 1 },
		"nodes":   func(o *options) { o.nodes = 3 },
		"stdin":   func(o *options) { o.input = "-" },
	} {
		other := o
		change(&other)
		if _, err := open(t, dir, other, numbered(5)); !errors.Is(err, errUsage) {
			t.Errorf("other %s: %v", name, err)
		}
	}
	if _, err := open(t, dir, o, numbered(6)); !errors.Is(err, errUsage) {
		t.Errorf("another text: %v", err)
	}
	o.consumers = 9 // that is free
	d, err = open(t, dir, o, numbered(5))
	if err != nil || !d.manifest.Started {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := os.Stat(leftover); err != nil {
		t.Error(err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, options{queues: 1, members: 1, nodes: 1}, numbered(1)); !errors.Is(err, errUsage) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, options{queues: 1, members: 1, nodes: 1}, numbered(1)); !errors.Is(err, errUsage) {
		t.Error(err)
	}
}

func TestTemporaryDirectory(t *testing.T) {
	d, err := open(t, "", options{queues: 1, members: 1, nodes: 1}, numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// The audit finds what is wrong by itself.
func TestAudit(t *testing.T) {
	text := numbered(2)
	streams := text.spread(1)
	good := func() quorumqueue.Summary {
		s := quorumqueue.Summary{Counters: quorumqueue.Counters{Enqueued: 4, Settled: 4, Delivered: 5, Redelivered: 1}}
		for _, stream := range streams {
			s.Producers = append(s.Producers, quorumqueue.Producer{
				Name: stream.source.name, Enqueued: stream.expect(), Settled: stream.expect(),
			})
		}
		return s
	}
	check := func(name string, lost, duplicates uint64, strange int, change func(*quorumqueue.Summary)) {
		s := good()
		change(&s)
		v := audit(streams, []quorumqueue.Summary{s})
		if v.lost != lost || v.duplicates != duplicates || len(v.strange) != strange || v.good() != (name == "good") {
			t.Errorf("%s: %+v", name, v)
		}
		if (v.lost > 0) != (len(unfinished(streams, []quorumqueue.Summary{s})) > 0) {
			t.Errorf("%s: unfinished and audit differ", name)
		}
	}
	check("good", 0, 0, 0, func(*quorumqueue.Summary) {})
	check("one not settled", 1, 0, 0, func(s *quorumqueue.Summary) { s.Producers[0].Settled.Count-- })
	check("one not published", 1, 0, 0, func(s *quorumqueue.Summary) {
		s.Enqueued--
		s.Producers[1].Enqueued.Count--
		s.Producers[1].Settled.Count--
	})
	check("one taken twice", 0, 1, 1, func(s *quorumqueue.Summary) {
		s.Enqueued++
		s.Producers[0].Enqueued.Digest.Add(1, text.sources[0].lines[0])
	})
	check("one settled twice", 0, 0, 2, func(s *quorumqueue.Summary) {
		s.SettledTwice++
		s.Producers[0].Settled.Digest.Add(1, text.sources[0].lines[0])
	})
	check("one too many", 0, 1, 0, func(s *quorumqueue.Summary) {
		s.Enqueued++
		s.Producers[0].Enqueued.Count++
	})
	check("a foreign producer", 0, 3, 0, func(s *quorumqueue.Summary) {
		s.Enqueued += 3
		s.Producers = append(s.Producers, quorumqueue.Producer{Name: "x", Enqueued: quorumqueue.Book{Count: 3}})
	})
	check("another line", 0, 0, 2, func(s *quorumqueue.Summary) {
		s.Producers[0].Enqueued.Digest.Lo++
		s.Producers[0].Settled.Digest.Lo++
	})
	check("lost producer", 2, 0, 0, func(s *quorumqueue.Summary) {
		s.Enqueued -= 2
		s.Producers = s.Producers[1:]
	})
}

// JSON has one line with all keys.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := (&report{Queues: 1, CommandsPerSec: rate(10, 4, 1), EntriesPerSync: rate(10, 3, 100)}).writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"queues":1,"members":0,"nodes":0,"published":0,"delivered":0,"acknowledged":0,"redelivered":0,"lost":0,` +
		`"duplicates":0,"commands":0,"commands_per_s":3,"syncs":0,"entries_per_sync":3.33,"recover_s":0}` + "\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}
