package rafttest

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	museum = flag.Bool("museum", false, "check that every bug in testdata/museum is noticed")
	share  = flag.String("share", "1/1", "which part of the museum: 2/3 is the second of three")
	table  = flag.String("table", "", "the file whose table gets the rows of the exhibits that are shown, if all are noticed")
)

// museumSchedules is how many schedules a bug may survive.
const museumSchedules = 100_000

// finding is how an exhibit was noticed.
type finding struct {
	*exhibit
	by        string // an invariant, or a test
	schedules int    // 0 for a test
}

// TestMuseum breaks our own code in the ways in which others' was broken, one at a time, and checks that the simulator or
// a named test notices each. A harness that finds none of them proves nothing by its silence.
func TestMuseum(t *testing.T) {
	if !*museum {
		t.Skip("builds a test program for each bug; asked for with -museum, as .ci/run does")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	all := readMuseum(t)
	shown := selected(t, all)
	found := make([]*finding, len(shown))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(shown)); i = next.Add(1) - 1 {
				t.Run(shown[i].name, func(t *testing.T) { found[i] = shown[i].check(t, root) })
			}
		})
	}
	wg.Wait()
	if *table != "" && !t.Failed() {
		writeTable(t, all, found)
	}
}

// selected returns the share of the exhibits that was asked for. What needs patience is dealt out and begun first.
func selected(t *testing.T, all []*exhibit) []*exhibit {
	var part, parts int
	if n, err := fmt.Sscanf(*share, "%d/%d", &part, &parts); n != 2 || err != nil || part < 1 || part > parts {
		t.Fatalf("-share %s is no part of anything", *share)
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *exhibit) int { return cmp.Compare(b.wait, a.wait) })
	var out []*exhibit
	for i, ex := range all {
		if i%parts == part-1 {
			out = append(out, ex)
		}
	}
	return out
}

// check builds the broken program and has it notice. Exhibits run beside each other, so each keeps to one processor;
// besides, the seed that notices first is then always the same one.
func (ex *exhibit) check(t *testing.T, root string) *finding {
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
	build := exec.Command("go", "test", "-p", "1", "-overlay", overlay, "-ldflags=-s -w", "-c", "-o", binary, "./"+pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("does not build: %v\n%s", err, out)
	}
	broken := exec.Command(binary, "-test.run", "^"+run+"$", "-test.timeout", "20m")
	broken.Dir = filepath.Join(root, pkg)
	if !named {
		broken.Args = append(broken.Args, "-schedules", fmt.Sprint(museumSchedules))
		broken.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	out, err := broken.CombinedOutput()
	if err == nil {
		t.Fatalf("survived %s of %s: %s", run, pkg, ex.bug)
	}
	f := ex.autopsy(t, run, named, out)
	t.Logf("killed by %s%s: %s", f.by, f.after(), ex.bug)
	return f
}

var killedBy = regexp.MustCompile(`(?m)seed (\d+).*?: (I\d+|panic|promise|patience)`)

// autopsy checks that what noticed the bug is what was meant to.
func (ex *exhibit) autopsy(t *testing.T, run string, named bool, out []byte) *finding {
	if named {
		failed := bytes.Contains(out, []byte("--- FAIL: "+run)) || bytes.Contains(out, []byte("\npanic: "))
		if !failed || bytes.Contains(out, []byte("\npanic: test timed out")) {
			t.Fatalf("%s did not get as far as to fail:\n%s", run, out)
		}
		return &finding{exhibit: ex, by: run}
	}
	m := killedBy.FindSubmatch(out)
	if m == nil {
		t.Fatalf("failed, but not by an invariant:\n%s", out)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return &finding{exhibit: ex, by: string(m[2]), schedules: n}
}

// after says how many schedules it took.
func (f *finding) after() string {
	if f.schedules == 0 {
		return ""
	}
	return fmt.Sprintf(" after %d schedules", f.schedules)
}
