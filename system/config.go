package system

import (
	"cmp"
	"fmt"
	"time"

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

	// WALFileSize is the size of a file of the write-ahead log in bytes; 0 means 64 MiB, wal.MinFileSize is the least
	// and 1 TiB the most.
	WALFileSize int64
	// Buffered has the write-ahead log go through the page cache even where direct I/O is possible.
	Buffered bool

	// Limits bound what members have under way to their peers; the zero value is ra's.
	Limits Limits

	// Snapshots says when snapshots are taken; the zero value is ra's policy. Its MinRecovery has members that are stopped in
	// good order leave their state behind, so that they start without replaying their logs (CKPT-10).
	Snapshots snapshot.Policy
	// SnapshotLevel is the level of their compression as zstd counts it, 1 to 22; 0 means 1, the fastest.
	SnapshotLevel int

	// ScrubRate is how fast the node reads again what lies in its segments and snapshots, to find what has decayed before
	// it is needed, in bytes a second; 0 means 1 MiB, and a negative number that it does not. It begins a minute after the
	// node was opened, and rests for an hour after each pass. See Stats.Scrub.
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

// ConfigError says which field of a Config cannot be what it is, and why.
type ConfigError struct {
	// Field is its name in Config, as in "Limits.ChunkBytes".
	Field string
	Err   error
}

// Error names the field and the reason.
func (e *ConfigError) Error() string { return fmt.Sprintf("system: Config.%s: %v", e.Field, e.Err) }

// Unwrap returns the reason.
func (e *ConfigError) Unwrap() error { return e.Err }

// refuse returns a *ConfigError.
func refuse(field, format string, args ...any) error {
	return &ConfigError{Field: field, Err: fmt.Errorf(format, args...)}
}

// within returns a *ConfigError unless a value lies within its bounds.
func within[T int | int64 | time.Duration](field string, value, low, high T) error {
	if value < low || value > high {
		return refuse(field, "%v is not within %v and %v", value, low, high)
	}
	return nil
}

// notNegative returns a *ConfigError if a value is negative.
func notNegative[T int | int64](field string, value T) error {
	if value < 0 {
		return refuse(field, "%v is negative", value)
	}
	return nil
}

// validate checks the configuration and fills in what was left out. Its errors are *ConfigError.
func (c *Config) validate() error {
	if c.Dir == "" {
		return refuse("Dir", "it is missing")
	}
	c.Name = cmp.Or(c.Name, "node")
	if err := ra.CheckName(string(c.Name)); err != nil {
		return refuse("Name", "%w", err)
	}
	for name, f := range c.Machines {
		if err := ra.CheckName(name); err != nil {
			return refuse("Machines", "%w", err)
		}
		if f == nil {
			return refuse("Machines", "%q has no factory", name)
		}
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return cmp.Or(c.validateNumbers(), c.Limits.fill())
}

// validateNumbers is the part of validate that deals in numbers.
func (c *Config) validateNumbers() error {
	c.MaxCommand = cmp.Or(c.MaxCommand, defaultMaxCommand)
	c.BackgroundJobs = cmp.Or(c.BackgroundJobs, defaultJobs)
	c.WALFileSize = cmp.Or(c.WALFileSize, defaultWALFile)
	c.ScrubRate = cmp.Or(c.ScrubRate, defaultScrub)
	return cmp.Or(
		notNegative("Workers", c.Workers),
		notNegative("ClientLane", c.ClientLane),
		notNegative("BackgroundJobs", c.BackgroundJobs),
		notNegative("Snapshots.Growth", c.Snapshots.Growth),
		notNegative("Snapshots.MinBytes", c.Snapshots.MinBytes),
		within("MaxCommand", c.MaxCommand, 1, ra.MaxPayload),
		within("WALFileSize", c.WALFileSize, wal.MinFileSize, 1<<40),
		within("SnapshotLevel", c.SnapshotLevel, 0, 22),
	)
}
