package rafttest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var museum = flag.Bool("museum", false, "check that the simulator finds every bug in testdata/museum")

// exhibit is a bug that somebody once had, as a change of our own code. Its file looks like this, with one or more
// changes, each of which must fit at exactly one place:
//
//	bug: what it does
//	source: where it happened
//	number: its number in the catalogue
//	killed by: wal TestName
//	file: ra/raft/leader.go
//	<<<<
//	the right lines
//	====
//	the wrong ones
//	>>>>
//
// The line "killed by" is for what no schedule can reach: it names the package and the test that must notice.
type exhibit struct {
	name, bug, source, number string
	killer                    string // package and test, if not TestSchedules here
	changes                   []change
}

type change struct{ file, right, wrong string }

var killerPattern = regexp.MustCompile(`(?m)^killed by: (\S+ Test\S+)$`)

var changePattern = regexp.MustCompile(`(?ms)^file: (\S+)\n<<<<\n(.*?)^====\n(.*?)^>>>>\n`)

func readExhibit(path string) (exhibit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return exhibit{}, err
	}
	ex := exhibit{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	for key, into := range map[string]*string{"bug": &ex.bug, "source": &ex.source, "number": &ex.number} {
		m := regexp.MustCompile(`(?m)^` + key + `: (.+)$`).FindSubmatch(text)
		if m == nil {
			return ex, fmt.Errorf("%s has no line %q", path, key+":")
		}
		*into = string(m[1])
	}
	if m := killerPattern.FindSubmatch(text); m != nil {
		ex.killer = string(m[1])
	}
	for _, m := range changePattern.FindAllSubmatch(text, -1) {
		ex.changes = append(ex.changes, change{string(m[1]), string(m[2]), string(m[3])})
	}
	if len(ex.changes) == 0 {
		return ex, fmt.Errorf("%s changes nothing", path)
	}
	return ex, nil
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

var killedBy = regexp.MustCompile(`(?m)seed (\d+).*?: (I\d+|panic)`)

// TestMuseum breaks our own code in the ways in which others' was broken, one at a time, and checks that the
// simulator notices each. A harness that finds none of them proves nothing by its silence.
func TestMuseum(t *testing.T) {
	if !*museum {
		t.Skip("builds the simulator once for each bug; asked for with -museum, as .ci/run does")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("testdata/museum/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no exhibits: %v", err)
	}
	for _, path := range paths {
		ex, err := readExhibit(path)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(ex.name, func(t *testing.T) { ex.check(t, root) })
	}
}

func (ex *exhibit) check(t *testing.T, root string) {
	dir := t.TempDir()
	overlay, err := ex.overlay(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	pkg, run, named := strings.Cut(ex.killer, " ")
	if !named {
		pkg, run = "ra/rafttest", "TestSchedules"
	}
	binary := filepath.Join(dir, "broken.test")
	build := exec.Command("go", "test", "-overlay", overlay, "-c", "-o", binary, "./"+pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("does not build: %v\n%s", err, out)
	}
	broken := exec.Command(binary, "-test.run", "^"+run+"$")
	broken.Dir = filepath.Join(root, pkg)
	if !named {
		broken.Args = append(broken.Args, "-schedules", fmt.Sprint(museumSchedules))
	}
	out, err := broken.CombinedOutput()
	if err == nil {
		t.Fatalf("survived %s of %s", run, pkg)
	}
	ex.autopsy(t, run, named, out)
}

// autopsy checks that what noticed the bug is what was meant to.
func (ex *exhibit) autopsy(t *testing.T, run string, named bool, out []byte) {
	if named {
		if !strings.Contains(string(out), "--- FAIL: "+run) {
			t.Fatalf("%s did not get as far as to fail:\n%s", run, out)
		}
		t.Logf("killed by %s: %s", run, ex.bug)
		return
	}
	m := killedBy.FindSubmatch(out)
	if m == nil {
		t.Fatalf("failed, but not by an invariant:\n%s", out)
	}
	t.Logf("killed by %s at seed %s: %s", m[2], m[1], ex.bug)
}

// museumSchedules is how many schedules a bug may survive.
const museumSchedules = 100_000
