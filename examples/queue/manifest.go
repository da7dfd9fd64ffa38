package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// manifest says what a data directory is for, so that nothing else is mixed into it.
type manifest struct {
	Format  int    `json:"format"`
	Digest  string `json:"digest"`
	Lines   uint64 `json:"lines"`
	Queues  int    `json:"queues"`
	Members int    `json:"members"`
	Nodes   int    `json:"nodes"`
	// Started says that all queues were started. Before that nothing is published, and what is there may be incomplete.
	Started bool `json:"started"`
}

const (
	manifestFormat = 1
	manifestName   = "queue.json"
	manifestTemp   = "queue.json.tmp"
	lockName       = "queue.lock"
)

// directory is a data directory that this process alone uses.
type directory struct {
	path     string
	fs       *vfs.OS
	lock     io.Closer
	manifest manifest
	// temporary has it removed by close.
	temporary bool
}

// openDirectory takes the directory for a run, and refuses one that belongs to another run.
func openDirectory(o *options, t *text) (*directory, error) {
	d := &directory{path: o.data, temporary: o.data == "", manifest: manifest{
		Format: manifestFormat, Digest: t.digest(), Lines: t.count(),
		Queues: o.queues, Members: o.members, Nodes: o.nodes,
	}}
	var err error
	if d.temporary {
		d.path, err = os.MkdirTemp("", "heliopolis-queue-")
	} else {
		err = os.MkdirAll(d.path, 0o755)
	}
	if err != nil {
		return nil, usagef("-data: %w", err)
	}
	if d.fs, err = vfs.OpenOS(d.path); err != nil {
		return nil, usagef("-data: %w", err)
	}
	if d.lock, err = vfs.Hold(d.fs, lockName); errors.Is(err, vfs.ErrLocked) {
		return nil, usagef("-data %s: another run uses it, process %d", d.path, vfs.Holder(d.fs, lockName))
	} else if err != nil {
		return nil, usagef("-data: %w", err)
	}
	if err := d.check(o); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// check compares the directory with the run, and makes it ready if it is a new one.
func (d *directory) check(o *options) error {
	there, err := d.read()
	switch {
	case err != nil:
		return usagef("-data: %w", err)
	case there == nil:
		if err := d.mustBeEmpty(); err != nil {
			return err
		}
		return d.write()
	case o.input == "-":
		return usagef("-data %s has a run already, and standard input cannot be continued; name a file", d.path)
	}
	if err := there.compare(&d.manifest); err != nil {
		return usagef("-data %s: %w", d.path, err)
	}
	d.manifest = *there
	if !there.Started {
		return d.removeNodes()
	}
	return nil
}

// read returns the manifest, nil if there is none.
func (d *directory) read() (*manifest, error) {
	path := filepath.Join(d.path, manifestName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &m, nil
}

// compare returns an error that tells in what a run differs from the one that the directory was made for.
func (m *manifest) compare(run *manifest) error {
	for _, n := range []struct {
		what      string
		was, wish int
	}{
		{"its format is", m.Format, run.Format},
		{"it was made with -queues", m.Queues, run.Queues},
		{"it was made with -members", m.Members, run.Members},
		{"it was made with -nodes", m.Nodes, run.Nodes},
	} {
		if n.was != n.wish {
			return fmt.Errorf("%s %d, not %d; continue with the same, or take another directory", n.what, n.was, n.wish)
		}
	}
	if m.Digest != run.Digest {
		return fmt.Errorf("it was made for another text, of %d lines; this one has %d", m.Lines, run.Lines)
	}
	return nil
}

// mustBeEmpty refuses directories that somebody else uses.
func (d *directory) mustBeEmpty() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return usagef("-data: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != manifestTemp {
			return usagef("-data %s is not empty and not of this program: it has %s", d.path, e.Name())
		}
	}
	return nil
}

// write makes the manifest durable, all or nothing.
func (d *directory) write() error {
	b, err := json.Marshal(d.manifest)
	if err != nil {
		return err
	}
	temp := filepath.Join(d.path, manifestTemp)
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(d.path, manifestName)); err != nil {
		return err
	}
	return d.fs.SyncDir(".")
}

// started notes that all queues are there.
func (d *directory) started() error {
	d.manifest.Started = true
	return d.write()
}

// node returns the data directory of a node.
func (d *directory) node(i int) string { return filepath.Join(d.path, nodeName(i)) }

func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// removeNodes removes what a run has left that ended before it had started all queues.
func (d *directory) removeNodes() error {
	for i := range d.manifest.Nodes {
		if err := os.RemoveAll(d.node(i)); err != nil {
			return err
		}
	}
	return nil
}

// close gives the directory back, and removes a temporary one.
func (d *directory) close() error {
	err := d.lock.Close()
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}
