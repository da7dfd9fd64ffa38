package ra_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents returns the texts of all documents by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/decisions/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(b)
		}
	}
	return all
}

var (
	namedTest = regexp.MustCompile("`([a-z/]+) ((?:Test|Fuzz|Example|Benchmark)[A-Z]\\w*)[^`]*`")
	declared  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
)

// TestDocumentsNameTestsThatExist: who looks up what a document refers to finds it.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	tests := make(map[string]bool) // "package test", also by the package's last name
	err := filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel("..", filepath.Dir(path))
		dir := filepath.ToSlash(rel)
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			tests[dir+" "+m[1]] = true
			tests[dir[strings.LastIndexByte(dir, '/')+1:]+" "+m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, text := range documents(t) {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			if found++; !tests[m[1]+" "+m[2]] {
				t.Errorf("%s: there is no %s %s", name, m[1], m[2])
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d tests are named", found)
	}
}

var (
	conformanceRow = regexp.MustCompile(`(?m)^\| ([A-Z]+)-[0-9]+[a-z]? \| [^|]* \| (done|different on purpose|part|not yet)\b`)
	conformanceSum = regexp.MustCompile(`(?m)^\| \[([A-Z]+)\]\([^)]*\) (\|[ 0-9|]+\|)$`)
)

// TestConformanceAddsUp counts the rows of each family of docs/CONFORMANCE.md.
func TestConformanceAddsUp(t *testing.T) {
	text := documents(t)["../docs/CONFORMANCE.md"]
	columns := []string{"done", "different on purpose", "part", "not yet"}
	count := make(map[string]map[string]int)
	all := make(map[string]int)
	for _, m := range conformanceRow.FindAllStringSubmatch(text, -1) {
		if count[m[1]] == nil {
			count[m[1]] = make(map[string]int)
		}
		count[m[1]][m[2]]++
		all[m[2]]++
	}
	line := func(n map[string]int, format string) string {
		var b strings.Builder
		sum := 0
		for _, c := range columns {
			fmt.Fprintf(&b, "| "+format+" ", n[c])
			sum += n[c]
		}
		fmt.Fprintf(&b, "| "+format+" |", sum)
		return b.String()
	}
	sums := conformanceSum.FindAllStringSubmatch(text, -1)
	for _, m := range sums {
		if want := line(count[m[1]], "%d"); m[2] != want {
			t.Errorf("%s: the table says %s, there are %s", m[1], m[2], want)
		}
	}
	if len(sums) != len(count) || len(sums) < 20 {
		t.Errorf("%d families in the table, %d below", len(sums), len(count))
	}
	if want := "| **all** " + line(all, "**%d**"); !strings.Contains(text, want) {
		t.Errorf("there is no line %s", want)
	}
}
