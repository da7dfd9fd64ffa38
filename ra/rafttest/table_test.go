package rafttest

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The lines of a document between which the table of exhibits stands.
const (
	tableBegin = "<!-- museum: begin, written by -table -->\n"
	tableEnd   = "<!-- museum: end -->\n"
)

// writeTable writes what was found into the document that -table names.
func writeTable(t *testing.T, found []*finding) {
	text, err := os.ReadFile(*table)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(text, []byte(tableBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", *table)
	}
	out := slices.Concat(before, []byte(tableBegin+tableOf(found)+tableEnd), after)
	if err := os.WriteFile(*table, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tableOf returns the exhibits room by room, and in one line what they come to.
func tableOf(found []*finding) string {
	found = slices.SortedFunc(slices.Values(found), func(a, b *finding) int { return strings.Compare(a.name, b.name) })
	var out strings.Builder
	var needed []int
	for _, f := range found {
		if f.schedules > 0 {
			needed = append(needed, f.schedules)
		}
	}
	slices.Sort(needed)
	fmt.Fprintf(&out, "\n%d bugs. Schedules find %d of them, half of these within %d schedules and the last after %d; %d are found by the named tests.\n",
		len(found), len(needed), needed[(len(needed)-1)/2], needed[len(needed)-1], len(found)-len(needed))
	for _, room := range rooms {
		fmt.Fprintf(&out, "\n*%s*\n\n| exhibit | bug | source | noticed by | after schedules |\n|---|---|---|---|---:|\n", room)
		for _, f := range found {
			if f.about == room {
				out.WriteString(f.row())
			}
		}
	}
	return out.String() + "\n"
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
