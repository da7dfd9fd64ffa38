package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
)

// maxCommand is what the nodes are opened with, and maxLine what is left of it for a line.
const (
	maxCommand = 16 << 20
	maxLine    = maxCommand - quorumqueue.MaxOverhead
)

// source is one text, published by a producer of that name.
type source struct {
	name  string
	lines [][]byte
}

// text is all that is to be published.
type text struct{ sources []source }

// readInput reads what the command line names.
func readInput(name string, stdin io.Reader) (*text, error) {
	t := &text{}
	var err error
	switch name {
	case "":
		err = t.addDocuments()
	case "-":
		err = t.addReader("input", stdin)
	default:
		err = t.addFile("input", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return t, nil
}

func (t *text) addFile(producer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.addReader(producer, f)
}

func (t *text) addReader(producer string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s := source{name: producer, lines: splitLines(b)}
	for i, line := range s.lines {
		if len(line) > maxLine {
			return fmt.Errorf("line %d of %s has %d bytes; the longest that fits into a command has %d",
				i+1, producer, len(line), maxLine)
		}
	}
	t.sources = append(t.sources, s)
	return nil
}

// splitLines returns the lines of b without the newlines that end them. Everything else belongs to the lines: carriage
// returns, zeros, whatever. What follows the last newline is a line if it is not empty.
func splitLines(b []byte) [][]byte {
	lines := bytes.Split(b, []byte{'\n'})
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// addDocuments adds README.md and docs/*.md of this repository, wherever in it the program runs.
func (t *text) addDocuments() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return err
	}
	for _, path := range append([]string{filepath.Join(root, "README.md")}, docs...) {
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if err := t.addFile(filepath.ToSlash(name), path); err != nil {
			return err
		}
	}
	return nil
}

// module is the line of go.mod that tells this repository's own module from others, nested ones included.
const module = "module github.com/heliopolis-raft/heliopolis"

// moduleRoot returns the directory of this module, which is the working directory or one above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		found, err := isRoot(dir)
		if found || err != nil {
			return dir, err
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("this is not the repository of Heliopolis, whose documents are the default; name a file")
		}
		dir = above
	}
}

func isRoot(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	first, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return strings.TrimSpace(first) == module, nil
}

// count returns the number of lines.
func (t *text) count() uint64 {
	n := 0
	for _, s := range t.sources {
		n += len(s.lines)
	}
	return uint64(n)
}

// digest returns a name of the whole text: producers, lines, and their order.
func (t *text) digest() string {
	h := sha256.New()
	number := func(n int) { h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	for _, s := range t.sources {
		number(len(s.name))
		io.WriteString(h, s.name)
		number(len(s.lines))
		for _, line := range s.lines {
			number(len(line))
			h.Write(line)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stream is what one producer publishes to one queue: the lines first, first+step, first+2*step, … of a source, as
// numbers 1, 2, 3, …
type stream struct {
	source *source
	queue  int
	first  int
	step   int
	// total is the number of lines.
	total uint64
}

// line returns the line of a sequence number, 1 to total.
func (s *stream) line(seq uint64) []byte { return s.source.lines[s.first+int(seq-1)*s.step] }

// expect returns what the books of the queue must say at the end.
func (s *stream) expect() quorumqueue.Book {
	b := quorumqueue.Book{Count: s.total, UpTo: s.total}
	for seq := range s.total {
		b.Digest.Add(seq+1, s.line(seq+1))
	}
	return b
}

// spread deals the lines out to queues, in turns. Empty streams are left out.
func (t *text) spread(queues int) []*stream {
	var all []*stream
	before := 0
	for i := range t.sources {
		s := &t.sources[i]
		for first := range min(queues, len(s.lines)) {
			all = append(all, &stream{
				source: s, queue: (before + first) % queues, first: first, step: queues,
				total: uint64((len(s.lines) - first + queues - 1) / queues),
			})
		}
		before += len(s.lines)
	}
	return all
}
