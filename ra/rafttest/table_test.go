package rafttest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The lines of a document between which the table of exhibits stands.
const (
	tableBegin = "<!-- museum: begin, written by -table -->\n"
	tableEnd   = "<!-- museum: end -->\n"
)

// rowPattern reads what row wrote: the name of the exhibit's file and how many schedules it took.
var rowPattern = regexp.MustCompile(`(?m)^\| \[.*museum/(\S+)\.txt\) .* \| (\d*) \|$`)

// tableRow is an exhibit's line of the table.
type tableRow struct {
	text      string
	schedules int // 0 for a test
}

// writeTable writes what was found into the document that -table names. Exhibits that were not shown keep their rows.
func writeTable(t *testing.T, all []*exhibit, found []*finding) {
	text, err := os.ReadFile(*table)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(text, []byte(tableBegin))
	old, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", *table)
	}
	rows := readRows(old)
	for _, f := range found {
		if f != nil {
			rows[f.name] = tableRow{f.row(), f.schedules}
		}
	}
	out := slices.Concat(before, []byte(tableBegin+tableOf(all, rows)+tableEnd), after)
	if err := os.WriteFile(*table, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readRows reads a table.
func readRows(text []byte) map[string]tableRow {
	rows := map[string]tableRow{}
	for _, m := range rowPattern.FindAllSubmatch(text, -1) {
		schedules, _ := strconv.Atoi(string(m[2])) // digits or nothing
		rows[string(m[1])] = tableRow{string(m[0]) + "\n", schedules}
	}
	return rows
}

// tableOf returns the exhibits that have rows room by room, and in one line what they come to.
func tableOf(all []*exhibit, rows map[string]tableRow) string {
	all = slices.SortedFunc(slices.Values(all), func(a, b *exhibit) int { return strings.Compare(a.name, b.name) })
	var tables strings.Builder
	var needed []int
	shown := 0
	for _, room := range rooms {
		fmt.Fprintf(&tables, "\n*%s*\n\n| exhibit | bug | source | noticed by | after schedules |\n|---|---|---|---|---:|\n", room)
		for _, ex := range all {
			if r, ok := rows[ex.name]; ok && ex.about == room {
				tables.WriteString(r.text)
				shown++
				if r.schedules > 0 {
					needed = append(needed, r.schedules)
				}
			}
		}
	}
	slices.Sort(needed)
	return summary(shown, needed) + tables.String() + "\n"
}

// summary says how many exhibits there are, and how many schedules those took that schedules find.
func summary(shown int, needed []int) string {
	if len(needed) == 0 {
		return ""
	}
	n := len(needed)
	return fmt.Sprintf("\n%d bugs. Schedules find %d of them: half of these within %d schedules, nine tenths within %d, the last "+
		"after %d. The named tests find the other %d.\n", shown, n, needed[(n-1)/2], needed[(9*n-1)/10], needed[n-1], shown-n)
}

// row returns the exhibit's line of the table.
func (f *finding) row() string {
	by, after := f.by, fmt.Sprint(f.schedules)
	if f.schedules == 0 {
		pkg, test, _ := strings.Cut(f.killer, " ")
		by, after = fmt.Sprintf("`%s` of `%s`", test, pkg), ""
	}
	return fmt.Sprintf("| [%s](../ra/rafttest/testdata/museum/%s.txt) | %s | %s | %s | %s |\n", f.number(), f.name, f.bug, f.source, by, after)
}

// A table that was written is read as it was, and keeps the rows of what is not shown again.
func TestTable(t *testing.T) {
	all := []*exhibit{
		{name: "001-a", bug: "a", source: "x", about: rooms[0]},
		{name: "002-b", bug: "b | c", source: "y", about: rooms[1], killer: "wal TestB"},
		{name: "003-c", bug: "c", source: "z", about: rooms[1]},
	}
	rows := map[string]tableRow{}
	for i, f := range []*finding{{all[0], "I9", 7}, {all[1], "TestB", 0}} {
		rows[all[i].name] = tableRow{f.row(), f.schedules}
	}
	text := tableOf(all, rows)
	if !strings.Contains(text, "2 bugs. Schedules find 1 of them: half of these within 7") {
		t.Error(text)
	}
	back := readRows([]byte(text))
	if len(back) != 2 || back["001-a"] != rows["001-a"] || back["002-b"] != rows["002-b"] {
		t.Errorf("%v was read from\n%s", back, text)
	}
}
