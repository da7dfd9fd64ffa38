package ra_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/heliopolis-raft/heliopolis/"

// mayImport is the plan of packages of docs/ARCHITECTURE.md: what each may import of this module. A package that is
// missing here fails the test, so that a new room is planned before it is built.
var mayImport = map[string][]string{
	"ra":           {},
	"actor":        {"ra", "ra/warm"},
	"ra/warm":      {},
	"machine":      {"ra", "ra/warm"},
	"ra/raft":      {"ra", "ra/warm"},
	"wal/vfs":      {},
	"wal/memtable": {"ra", "ra/warm"},
	"wal":          {"ra", "wal/vfs", "wal/memtable"},
	"segment":      {"ra", "wal/vfs"},
	"ra/snapshot":  {"ra", "wal/vfs"},
	"ra/raftlog":   {"ra", "ra/warm", "wal", "wal/memtable", "segment", "ra/snapshot"},
	"ra/member":    {"ra", "ra/raft", "ra/warm", "ra/raftlog", "ra/snapshot", "machine", "wal"},
	"ra/rafttest": {"ra", "ra/raft", "ra/raftlog", "ra/member", "ra/snapshot", "machine", "segment", "wal", "wal/vfs",
		"wal/memtable"},
	"system": {"ra", "ra/raft", "ra/warm", "ra/raftlog", "ra/member", "ra/snapshot", "actor", "machine", "segment", "wal",
		"wal/vfs", "wal/memtable"},

	"machine/machinetest":   {"ra", "machine"},
	"machine/reference":     {"ra", "machine"},
	"system/damagetest":     {}, // tests only
	"system/monkeytest":     {}, // tests only
	"ra/fuzztest":           {},
	"ra/fuzztest/fuzzall":   {},
	"ra/rafttest/campaign":  {"ra/rafttest"},
	"ra/rafttest/corecover": {},
}

// forbidden lists imports that would break a promise of the package: the core is deterministic, storage reaches the
// disk through wal/vfs only, and nobody but actor knows protoactor.
var forbidden = map[string][]string{
	"ra/raft":      {"os", "net", "time", "sync", "sync/atomic", "math/rand", "math/rand/v2", "context", "runtime"},
	"ra/member":    {"os", "net", "sync", "math/rand", "math/rand/v2"},
	"wal":          {"os", "time", "syscall", "golang.org/x/sys/unix"},
	"wal/memtable": {"os", "time"},
	"segment":      {"os", "time", "syscall"},
	"ra/snapshot":  {"os", "time", "syscall"},
	"ra/raftlog":   {"os", "time"},
}

func TestImportDirections(t *testing.T) {
	for dir, imports := range importsByDir(t) {
		allowed, planned := mayImport[dir]
		if !planned {
			t.Errorf("package %s is not in the plan of packages", dir)
		}
		for _, path := range imports {
			if ours, ok := strings.CutPrefix(path, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", dir, ours)
			}
			if slices.Contains(forbidden[dir], path) {
				t.Errorf("%s imports %s", dir, path)
			}
			if strings.Contains(path, "protoactor") && dir != "actor" {
				t.Errorf("%s imports protoactor; only actor may", dir)
			}
		}
	}
}

// importsByDir returns what the shipping files of each package of the module import. Examples are left out: there
// users bring what they like.
func importsByDir(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() && (rel == "examples" || strings.HasPrefix(d.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		for _, spec := range f.Imports {
			found[dir] = append(found[dir], strings.Trim(spec.Path.Value, `"`))
		}
		if len(f.Imports) == 0 && found[dir] == nil {
			found[dir] = []string{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
