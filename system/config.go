package system

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Config says how a node is to be opened. The zero value works, except for the directory.
type Config struct {
	// Dir is the node's data directory, which is made if it does not exist. It must be given. One node at a time may
	// have it open.
	Dir string
	// Name is the node's name, as ra.CheckName allows it; "node" if empty. It is part of the address of every member that
	// lives here, so a directory with members cannot be opened under another name.
	Name ra.NodeID
	// Machines are the machines that clusters of this node may run, by the name that is stored with each member. A member
	// whose machine is missing here is not started, and keeps its data.
	Machines map[string]machine.Factory
	// Fabric connects the nodes of one process: those with the same one reach each other. Nil: this node is alone.
	Fabric *actor.Fabric
	// Logger gets the few events that are worth telling; nil is silent.
	Logger *zap.Logger
	// FS is the file system in which the data lie, in place of the operating system's at Dir; Dir then only names the
	// node in messages. It is for tests.
	FS vfs.FS

	// Workers is the number of goroutines that run members; 0 means 1. More than one per two processors did not pay in
	// our measurements.
	Workers int
	// ClientLane bounds the commands and queries that wait for one member; 0 means actor.DefaultClientLane. Beyond it
	// calls fail with ra.ErrOverloaded.
	ClientLane int
	// MaxCommand bounds a command in bytes; 0 means 16 MiB, and ra.MaxPayload is the highest. Larger ones fail with
	// ra.ErrTooLarge.
	MaxCommand int
	// BackgroundJobs bounds the goroutines that write and read snapshots; 0 means 4. None runs while nothing is to do.
	BackgroundJobs int

	// WALFileSize is the size of a file of the write-ahead log in bytes; 0 means 64 MiB, wal.MinFileSize is the least.
	WALFileSize int64
	// Buffered has the write-ahead log go through the page cache even where direct I/O is possible.
	Buffered bool

	// Snapshots says when snapshots are taken; the zero value is ra's policy.
	Snapshots snapshot.Policy
	// SnapshotLevel is the level of their compression as zstd counts it, 1 to 22; 0 means 1, the fastest.
	SnapshotLevel int

	// ScrubRate is how fast the node reads again what lies in its segments and snapshots, to find what has decayed before
	// it is needed, in bytes a second; 0 means 1 MiB, and a negative number that it does not. See Stats.Scrub.
	ScrubRate int64

	// NoAutoStart leaves the members that are registered here stopped, until each is restarted. Otherwise Open starts all
	// of them, whether or not they were running when the node was closed.
	NoAutoStart bool
}

const (
	defaultMaxCommand = 16 << 20
	defaultJobs       = 4
	defaultWALFile    = 64 << 20
	defaultScrub      = 1 << 20
)

// validate checks the configuration and fills in what was left out.
func (c *Config) validate() error {
	if c.Dir == "" {
		return errors.New("system: Config.Dir is missing")
	}
	if c.Name == "" {
		c.Name = "node"
	}
	if err := ra.CheckName(string(c.Name)); err != nil {
		return fmt.Errorf("system: Config.Name: %w", err)
	}
	for name, f := range c.Machines {
		if err := ra.CheckName(name); err != nil {
			return fmt.Errorf("system: Config.Machines: %w", err)
		}
		if f == nil {
			return fmt.Errorf("system: Config.Machines: %q has no factory", name)
		}
	}
	return c.validateLimits()
}

// validateLimits is the part of validate that deals in numbers.
func (c *Config) validateLimits() error {
	if c.MaxCommand == 0 {
		c.MaxCommand = defaultMaxCommand
	}
	if c.BackgroundJobs == 0 {
		c.BackgroundJobs = defaultJobs
	}
	if c.WALFileSize == 0 {
		c.WALFileSize = defaultWALFile
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = defaultScrub
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	switch {
	case c.Workers < 0 || c.ClientLane < 0 || c.BackgroundJobs < 0:
		return errors.New("system: negative limit in Config")
	case c.Snapshots.Growth < 0 || c.Snapshots.MinBytes < 0:
		return errors.New("system: negative limit in Config.Snapshots")
	case c.MaxCommand < 0 || c.MaxCommand > ra.MaxPayload:
		return fmt.Errorf("system: Config.MaxCommand %d is not within 1 and %d", c.MaxCommand, ra.MaxPayload)
	case c.WALFileSize < wal.MinFileSize:
		return fmt.Errorf("system: Config.WALFileSize %d is below %d", c.WALFileSize, wal.MinFileSize)
	case c.SnapshotLevel < 0 || c.SnapshotLevel > 22:
		return fmt.Errorf("system: Config.SnapshotLevel %d is not within 1 and 22", c.SnapshotLevel)
	}
	return nil
}
