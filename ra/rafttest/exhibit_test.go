package rafttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exhibit is a bug that somebody once had, as a change of our own code. Its file looks like this, with one or more
// changes, each of which must fit at exactly one place:
//
//	bug: what it does
//	source: where it happened
//	about: the part of the collection that it belongs to, one of rooms
//	killed by: wal TestName
//	file: ra/raft/leader.go
//	<<<<
//	the right lines
//	====
//	the wrong ones
//	>>>>
//
// The line "killed by" is for what no schedule can reach: it names the package and the test that must notice. A line
// "wait: 30000" says of an exhibit that it takes about so many schedules, so that it is begun early. The number in front of
// the file's name is only there to speak of it.
type exhibit struct {
	name, bug, source, about string
	killer                   string // package and test, if not TestSchedules here
	wait                     int    // about how many schedules it takes; 0 for few
	changes                  []change
}

type change struct{ file, right, wrong string }

// rooms are the parts of the collection, in the order in which the table shows them.
var rooms = []string{
	"term and vote", "commit and replication", "log, segments and recovery", "snapshots", "elections, reads and calls",
}

var (
	waitPattern   = regexp.MustCompile(`(?m)^wait: (\d+)$`)
	killerPattern = regexp.MustCompile(`(?m)^killed by: (\S+ Test\S+)$`)
	changePattern = regexp.MustCompile(`(?ms)^file: (\S+)\n<<<<\n(.*?)^====\n(.*?)^>>>>\n`)
)

func readExhibit(path string) (*exhibit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ex := &exhibit{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	for key, into := range map[string]*string{"bug": &ex.bug, "source": &ex.source, "about": &ex.about} {
		m := regexp.MustCompile(`(?m)^` + key + `: (.+)$`).FindSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("%s has no line %q", path, key+":")
		}
		*into = string(m[1])
	}
	if !slices.Contains(rooms, ex.about) {
		return nil, fmt.Errorf("%s: there is no room %q", path, ex.about)
	}
	if m := killerPattern.FindSubmatch(text); m != nil {
		ex.killer = string(m[1])
	}
	if m := waitPattern.FindSubmatch(text); m != nil {
		ex.wait, _ = strconv.Atoi(string(m[1])) // digits
	}
	for _, m := range changePattern.FindAllSubmatch(text, -1) {
		ex.changes = append(ex.changes, change{string(m[1]), string(m[2]), string(m[3])})
	}
	if len(ex.changes) == 0 {
		return nil, fmt.Errorf("%s changes nothing", path)
	}
	return ex, nil
}

// number returns what stands in front of the exhibit's name.
func (ex *exhibit) number() string {
	number, _, _ := strings.Cut(ex.name, "-")
	return number
}

// readMuseum returns all exhibits, by their numbers.
func readMuseum(t *testing.T) []*exhibit {
	paths, err := filepath.Glob("testdata/museum/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no exhibits: %v", err)
	}
	var all []*exhibit
	for _, path := range paths {
		ex, err := readExhibit(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ex)
	}
	return all
}

// overlay writes the changed files into dir and returns the file that tells the go command to use them.
func (ex *exhibit) overlay(root, dir string) (string, error) {
	replace := map[string]string{}
	for i, c := range ex.changes {
		original := filepath.Join(root, c.file)
		from := original
		if changed, ok := replace[original]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), c.right); n != 1 {
			return "", fmt.Errorf("change %d fits at %d places of %s, not at one", i+1, n, c.file)
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), c.right, c.wrong, 1)), 0o600); err != nil {
			return "", err
		}
		replace[original] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// The museum's labels are in order, its changes fit the present code, and the table has all of them: at once what TestMuseum
// finds out in minutes.
func TestExhibitsFit(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/RELIABILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, numbers := readRows(text), map[string]string{}
	for _, ex := range readMuseum(t) {
		if _, err := ex.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s: %v", ex.name, err)
		}
		if _, ok := rows[ex.name]; !ok {
			t.Errorf("docs/RELIABILITY.md has no row for %s; -table writes it", ex.name)
		}
		if other, taken := numbers[ex.number()]; taken {
			t.Errorf("%s and %s have the same number", other, ex.name)
		}
		numbers[ex.number()] = ex.name
	}
}
