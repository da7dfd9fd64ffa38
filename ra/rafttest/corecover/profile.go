package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// place is where a block of statements begins.
type place struct {
	file         string
	line, column int
}

// block is statements of which all or none are carried out, but for panics, and how often they were.
type block struct {
	place
	statements, count int
}

// readProfile reads the blocks of a package's files from a coverage profile, in their order. A block may be there several
// times.
func readProfile(name, dir string) ([]block, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	found := map[place]block{}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		colon := strings.LastIndexByte(line, ':')
		if i == 0 || colon < 0 || !strings.HasSuffix(path.Dir(line[:colon]), "/"+dir) {
			continue
		}
		b := block{place: place{file: path.Base(line[:colon])}}
		var endLine, endColumn, count int
		if _, err := fmt.Sscanf(line[colon+1:], "%d.%d,%d.%d %d %d", &b.line, &b.column, &endLine, &endColumn, &b.statements, &count); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		b.count = found[b.place].count + count
		found[b.place] = b
	}
	return slices.SortedFunc(maps.Values(found), func(a, b block) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return (a.line-b.line)<<10 + a.column - b.column
	}), nil
}
