package vfs

import (
	"slices"
	"testing"
)

// Quarantine has room for files and directories of the same name, as often as they come.
func TestToQuarantine(t *testing.T) {
	disk, err := OpenOS(t.TempDir())
	must(t, err)
	defer disk.Close()
	for i := range 6 {
		if i%2 == 0 {
			must(t, disk.MkdirAll("data/d"))
		} else {
			must(t, put(t, disk, "data/d", []byte("x"), 0).Close())
		}
		must(t, ToQuarantine(disk, "data", "d"))
	}
	names, err := disk.List("data/" + Quarantine)
	slices.Sort(names)
	if want := []string{"d.1", "d.2/", "d.3", "d.4/", "d.5", "d/"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v %v", names, err)
	}
}
