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

// A file that has the name of the quarantine does not keep anything from going there, and goes there itself, whichever
// comes first.
func TestFileNamedQuarantine(t *testing.T) {
	for _, order := range [][]string{{"d", Quarantine}, {Quarantine, "d"}} {
		disk := NewMem()
		must(t, disk.MkdirAll("data"))
		must(t, put(t, disk, "data/d", []byte("x"), 0).Close())
		must(t, put(t, disk, "data/"+Quarantine, []byte("y"), 0).Close())
		for _, name := range order {
			must(t, ToQuarantine(disk, "data", name))
		}
		left, err := disk.List("data")
		if err != nil || !slices.Equal(left, []string{Quarantine + "/"}) {
			t.Errorf("%v: %v %v", order, left, err)
		}
		names, err := disk.List("data/" + Quarantine)
		if want := []string{"d", Quarantine + ".1"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("%v: %v %v", order, names, err)
		}
	}
}
