package damagetest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A run without flags takes a sample, of new references. With -campaign the references are kept in a directory, and so is
// how far each test has come: the same command goes on where it was stopped, and tells at the end what there was in all.
//
//	go test ./system/damagetest -timeout 0 -v -campaign DIR -all -flips 20000
//
// A damage that did harm is printed with the command that repeats it.
var (
	campaignDir = flag.String("campaign", "", "keep references and progress in this directory, and go on where it says")
	all         = flag.Bool("all", false, "read every file with every bit flipped and cut at every length, not a sample")
	flips       = flag.Int("flips", 0, "how many flipped bits go through the recovery of whole nodes; 0 is a sample")
	replay      = flag.String("replay", "", "try this damage alone, as it was printed: NODES:NODE:DAMAGE")
)

// tally counts what became of damages, by what was done to which kind of file.
type tally map[string]map[string]int

func (t tally) add(row, outcome string) {
	if t[row] == nil {
		t[row] = make(map[string]int)
	}
	t[row][outcome]++
}

func (t tally) merge(other tally) {
	for row, outcomes := range other {
		for outcome, n := range outcomes {
			if t[row] == nil {
				t[row] = make(map[string]int)
			}
			t[row][outcome] += n
		}
	}
}

// sum returns how many damages there were in all.
func (t tally) sum() (n int) {
	for _, outcomes := range t {
		for _, k := range outcomes {
			n += k
		}
	}
	return n
}

// String returns the table in Markdown.
func (t tally) String() string {
	columns := make(map[string]bool)
	for _, outcomes := range t {
		for outcome := range outcomes {
			columns[outcome] = true
		}
	}
	head := slices.Sorted(maps.Keys(columns))
	var b strings.Builder
	fmt.Fprintf(&b, "| damage | %s | tried |\n|---|%s---:|\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)))
	for _, row := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(&b, "| %s |", row)
		sum := 0
		for _, outcome := range head {
			fmt.Fprintf(&b, " %d |", t[row][outcome])
			sum += t[row][outcome]
		}
		fmt.Fprintf(&b, " %d |\n", sum)
	}
	return b.String()
}

// finding is what became of one damage.
type finding struct {
	row, outcome string
	problem      string // "" if all is as it should be
}

// progress is what a campaign's file says.
type progress struct {
	Done  int
	Total int
	Table tally
}

// portion is how many damages are tried between two notes of the progress.
const portion = 1000

// maxProblems is after how many failures a test gives up.
const maxProblems = 20

// campaign calls try for each number below total, on all processors. try must depend on nothing but the number.
func campaign(t *testing.T, name string, total int, try func(t *testing.T, i int) []finding) tally {
	t.Helper()
	p := load(t, name, total)
	if p.Done > 0 {
		t.Logf("%d of %d were done before", p.Done, total)
	}
	begun := time.Now()
	var problems atomic.Int64
	for from := p.Done; from < total && problems.Load() == 0; from = p.Done {
		to := min(from+portion, total)
		table := together(t, from, to, func(t *testing.T, i int) []finding {
			if problems.Load() > maxProblems {
				return nil
			}
			all := try(t, i)
			for _, f := range all {
				if f.problem != "" {
					problems.Add(1)
					t.Error(f.problem)
				}
			}
			return all
		})
		p.Table.merge(table)
		p.Done = to
		if problems.Load() == 0 {
			save(t, name, p)
		}
		if testing.Verbose() && *campaignDir != "" {
			fmt.Fprintf(os.Stderr, "%s: %d of %d, %s\n", name, p.Done, total, time.Since(begun).Round(time.Second))
		}
	}
	t.Logf("%d damages:\n%s", p.Table.sum(), p.Table)
	return p.Table
}

// together tries the damages from one number to another, side by side.
func together(t *testing.T, from, to int, try func(t *testing.T, i int) []finding) tally {
	table := make(tally)
	var mu sync.Mutex
	var next atomic.Int64
	next.Store(int64(from))
	t.Run(fmt.Sprint(from), func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				own := make(tally)
				for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
					for _, f := range try(t, i) {
						own.add(f.row, f.outcome)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				table.merge(own)
			})
		}
	})
	return table
}

// load reads how far a campaign has come. It starts anew if it was another one.
func load(t *testing.T, name string, total int) *progress {
	t.Helper()
	p := &progress{Total: total, Table: make(tally)}
	if *campaignDir == "" {
		return p
	}
	b, err := os.ReadFile(progressFile(name))
	if os.IsNotExist(err) {
		return p
	}
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if err == nil && p.Table == nil {
		err = fmt.Errorf("%s is that of another campaign, of %d", progressFile(name), p.Total)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.Total != total {
		t.Fatalf("%s has run with %d; to run %d take another directory", name, p.Total, total)
	}
	return p
}

func progressFile(name string) string { return filepath.Join(*campaignDir, name+".json") }

// save notes how far a campaign has come: whole or not at all.
func save(t *testing.T, name string, p *progress) {
	t.Helper()
	if *campaignDir == "" {
		return
	}
	b, err := json.MarshalIndent(p, "", " ")
	if err == nil {
		err = os.WriteFile(progressFile(name)+".tmp", b, 0o600)
	}
	if err == nil {
		err = os.Rename(progressFile(name)+".tmp", progressFile(name))
	}
	if err != nil {
		t.Fatal(err)
	}
}
