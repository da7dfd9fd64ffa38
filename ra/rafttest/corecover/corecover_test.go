package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// code has a comment on each line in which a block begins: whether it counts.
const code = `package raft

import "errors"

func (r *Raft) decide() { // counts
	if r.a { // counts
		r.b() // counts
	}
	if r.failed != nil { // exempt
		r.b() // exempt
	}
	switch r.c {
	case 1: // exempt
		r.fail("broken")
	default: // counts
		r.fine()
	}
}

func (r *Raft) String() string { // exempt
	return r.word()
}

func (r *Raft) word() string { // exempt
	return r.words() + r.both()
}

func (r *Raft) words() string { return "" } // exempt

func (r *Raft) both() string { return "" } // counts

func (r *Raft) fine() { r.both() } // counts

func (r *Raft) fail(text string) { // exempt
	r.failed = errors.New(text)
}

func (r *Raft) Warm() { warm.Value(r) } // exempt

func read(b []byte) (int, error) { // counts
	if len(b) > 1 { // exempt
		return 0, errors.New("long")
	}
	if len(b) == 1 { // counts
		return 1, nil
	}
	return 0, errors.New("short") // counts
}

func Unused() string { return "" } // counts

func refuse() Refusal { // counts
	if x { // counts
		return Malformed
	}
	return Accepted
}
`

// Each line of the code that says so is a block that was not reached: it counts, or it does not.
func TestExempt(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "raft.go"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(code, "\n") {
		begin, says, ok := strings.Cut(line, " // ")
		if !ok {
			continue
		}
		b := block{place: place{file: "raft.go", line: i + 1, column: len(begin)}}
		if at := strings.Index(begin, "{ "); at >= 0 {
			b.column = at + 2
		} else if strings.HasSuffix(begin, ":") {
			b.column++
		}
		if got := map[bool]string{true: "exempt", false: "counts"}[s.exempt(b)]; got != says {
			t.Errorf("%q %s", begin, got)
		}
	}
}

// A profile of several runs of one package and of another one: blocks are added up, and the part is that of what counts.
func TestPart(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("ra/raft", 0o700); err != nil {
		t.Fatal(err)
	}
	text := "mode: set\n"
	for _, b := range []string{
		"raft/raft.go:5.25,6.9 3 1", "raft/raft.go:6.9,8.3 2 0", "raft/raft.go:6.9,8.3 2 1", "raft/raft.go:15.10,16.11 1 0",
		"raft/raft.go:20.32,22.2 9 0", "member/other.go:1.1,2.2 50 0",
	} {
		text += "example.org/ra/" + b + "\n"
	}
	for name, text := range map[string]string{"ra/raft/raft.go": code, "profile": text, "empty": "mode: set\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := run("profile", "ra/raft"); err != nil || fmt.Sprintf("%.1f", got) != "83.3" {
		t.Errorf("%v %% are reached, %v", got, err)
	}
	if _, err := run("empty", "ra/raft"); err == nil {
		t.Error("a profile without anything is taken")
	}
}
