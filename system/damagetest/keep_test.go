package damagetest

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A reference is kept as a zip file: "reference.json" with nodes and states, "now/NODE/FILE", "killed/NODE/FILE",
// "older/NODE/FILE" and "clones/NODE/FILE".

// kept is what reference.json holds.
type kept struct {
	Nodes []ra.NodeID
	Want  map[string]digest
	Past  map[string][]digest
}

var references struct {
	sync.Mutex
	made map[int]*reference
}

// referenceOf returns the reference with that many nodes: that of the campaign, or else one that is made once in a run.
func referenceOf(t *testing.T, nodes int) *reference {
	t.Helper()
	references.Lock()
	defer references.Unlock()
	if r := references.made[nodes]; r != nil {
		return r
	}
	r := newOrKept(t, nodes)
	if references.made == nil {
		references.made = make(map[int]*reference)
	}
	references.made[nodes] = r
	return r
}

func newOrKept(t *testing.T, nodes int) *reference {
	if *campaignDir == "" {
		return newReference(t, nodes)
	}
	file := filepath.Join(*campaignDir, fmt.Sprintf("reference-%d.zip", nodes))
	if _, err := os.Stat(file); err == nil {
		return unpack(t, file)
	}
	if err := os.MkdirAll(*campaignDir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newReference(t, nodes)
	r.pack(t, file)
	return r
}

// keep writes a reference where a failure can be repeated, and returns the directory.
func (r *reference) keep(t *testing.T) string {
	t.Helper()
	if *campaignDir != "" {
		return *campaignDir
	}
	dir := filepath.Join(os.TempDir(), "damagetest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.pack(t, filepath.Join(dir, fmt.Sprintf("reference-%d.zip", len(r.nodes))))
	return dir
}

// pack writes a reference to a file. Several tests may fail at the same time: the last one's stays.
func (r *reference) pack(t *testing.T, file string) {
	t.Helper()
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp")
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	put := func(name string, content []byte) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	head, err := json.Marshal(kept{r.nodes, r.want, r.past})
	if err != nil {
		t.Fatal(err)
	}
	put("reference.json", head)
	for prefix, disks := range r.parts() {
		for node, disk := range disks {
			for _, name := range list(t, disk) {
				put(path.Join(prefix, string(node), name), read(t, disk, name))
			}
		}
	}
	for _, do := range []func() error{z.Close, f.Close, func() error { return os.Rename(f.Name(), file) }} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

// parts returns the disks under the names that they have in the file.
func (r *reference) parts() map[string]map[ra.NodeID]*vfs.Mem {
	return map[string]map[ra.NodeID]*vfs.Mem{"now": r.disks, "killed": r.killed, "older": r.older, "clones": r.clones}
}

// unpack reads what pack wrote.
func unpack(t *testing.T, file string) *reference {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := &reference{
		disks: make(map[ra.NodeID]*vfs.Mem), killed: make(map[ra.NodeID]*vfs.Mem),
		older: make(map[ra.NodeID]*vfs.Mem), clones: make(map[ra.NodeID]*vfs.Mem),
	}
	parts := r.parts()
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "reference.json" {
			var head kept
			if err := json.Unmarshal(b, &head); err != nil {
				t.Fatal(err)
			}
			r.nodes, r.want, r.past = head.Nodes, head.Want, head.Past
			continue
		}
		at := strings.SplitN(f.Name, "/", 3)
		disks, node := parts[at[0]], ra.NodeID(at[1])
		if disks[node] == nil {
			disks[node] = vfs.NewMem()
		}
		if err := disks[node].MkdirAll(path.Dir(at[2])); err != nil {
			t.Fatal(err)
		}
		write(t, disks[node], at[2], b)
		if err := disks[node].SyncDir(path.Dir(at[2])); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.clones) == 0 || len(r.killed) == 0 {
		t.Fatalf("%s was made by an older version of the test: take another directory", file)
	}
	return r
}
