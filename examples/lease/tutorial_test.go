package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tutorial = "../../docs/TUTORIAL.md"

// blocks returns the code blocks of the tutorial by what stands behind their opening fence: "go machine.go" is a part of
// that file, "text" what the program prints.
func blocks(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	rest := string(text)
	for {
		_, after, found := strings.Cut(rest, "\n```")
		if !found {
			return all
		}
		info, after, _ := strings.Cut(after, "\n")
		body, after, closed := strings.Cut(after, "\n```\n")
		if !closed {
			t.Fatalf("the block %q has no end", info)
		}
		all[info] = append(all[info], body+"\n")
		rest = "\n" + after
	}
}

// excerpts are the files of which the tutorial shows only parts.
var excerpts = map[string]bool{"story.go": true, "machine_test.go": true}

// The code of the tutorial is that of the program: parts of a file stand in its order, and of the files that are no
// excerpts nothing is left out.
func TestTutorial(t *testing.T) {
	parts := blocks(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		shown := parts["go "+file]
		delete(parts, "go "+file)
		if strings.HasSuffix(file, "_test.go") && !excerpts[file] {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		left, ok := remove(string(text), shown)
		if !ok || len(shown) == 0 {
			t.Errorf("%s: the tutorial shows none of it, or something else", file)
		}
		if left = strings.TrimSpace(left); left != "" && !excerpts[file] {
			t.Errorf("%s: the tutorial leaves out\n%s", file, left)
		}
	}
	for info := range parts {
		if info != "text" && info != "sh" {
			t.Errorf("the tutorial has a block %q, and there is no such file", info)
		}
	}
}

// remove takes the parts out of a text, in their order. It reports false if one is not there.
func remove(text string, parts []string) (left string, ok bool) {
	for _, p := range parts {
		before, after, found := strings.Cut(text, p)
		if !found {
			return "", false
		}
		left += before
		text = after
	}
	return left + text, true
}
