package reference

import (
	"bufio"
	"io"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Table is an ordered table in memory. Its rows are in a tree that is never changed in place, so that a capture costs
// nothing, and local reads run on any goroutine while commands are applied.
type Table struct {
	root atomic.Pointer[node]
	// sinceRelease counts the commands applied since the last ReleaseCursor. It is part of the state: replayed from
	// a snapshot, a member must ask for the next one at the same command.
	sinceRelease uint64
}

// Row is one row of a table. Value is shared with the table and must not be changed.
type Row struct {
	Key   string
	Value []byte
	// Revision is the index of the command that wrote the row, so it never comes again.
	Revision ra.Index
}

// releaseEvery is how many commands lie between two hints that a snapshot would be worth it.
const releaseEvery = 4096

// NewTable makes an empty table; it is a machine.Factory.
func NewTable(machine.Init) machine.Machine { return &Table{} }

// Result is the reply of a table to its commands.
type Result struct {
	// Done reports whether the table was changed.
	Done bool
	// Found reports whether the key was there before, and Old is the row that it had.
	Found bool
	Old   Row
}

// Apply changes the table by one of the commands of this package. The reply is a Result, or an error that wraps
// ErrMalformed.
func (t *Table) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	c, err := decodeTableCommand(command)
	if err != nil {
		return err
	}
	t.sinceRelease++
	if t.sinceRelease >= releaseEvery {
		t.sinceRelease = 0
		fx.ReleaseCursor()
	}
	return t.change(c, meta.Index)
}

// change carries out a command.
func (t *Table) change(c tableCommand, index ra.Index) Result {
	root := t.root.Load()
	old, found := get(root, c.key)
	r := Result{Found: found, Old: old}
	switch {
	case c.op == opReplace && old.Revision != c.revision:
		return r
	case c.op != opDelete:
		// The command belongs to the log, so the value is copied.
		root = put(root, Row{Key: c.key, Value: append([]byte(nil), c.value...), Revision: index})
	case found:
		root = remove(root, c.key)
	default:
		return r
	}
	t.root.Store(root)
	r.Done = true
	return r
}

// Snapshot keeps the root.
func (t *Table) Snapshot() (machine.Capture, error) {
	root, since := t.root.Load(), t.sinceRelease
	return machine.CaptureFunc(func(w io.Writer) error { return writeTable(w, root, since) }), nil
}

func writeTable(w io.Writer, root *node, sinceRelease uint64) error {
	out := newWriter(w)
	out.uint(sinceRelease)
	out.uint(uint64(size(root)))
	ascend(root, "", func(r Row) bool {
		out.bytes(r.Key)
		out.bytes(string(r.Value))
		out.uint(uint64(r.Revision))
		return true
	})
	return out.flush()
}

// Restore reads the rows and builds a tree of them. Its shape may differ from that of the captured one, which nobody
// can see.
func (t *Table) Restore(r io.Reader) error {
	in := newReader(bufio.NewReader(r))
	since := in.uint()
	var rows []Row
	for range in.count() {
		row := Row{Key: string(in.bytes()), Value: in.bytes(), Revision: ra.Index(in.uint())}
		if len(rows) > 0 && row.Key <= rows[len(rows)-1].Key {
			in.fail("keys out of order")
		}
		if in.err != nil {
			break
		}
		rows = append(rows, row)
	}
	if err := in.end(); err != nil {
		return err
	}
	t.root.Store(build(rows))
	t.sinceRelease = since
	return nil
}

// Get asks for the row of a key; the answer is a Found.
type Get struct{ Key string }

// Found is the answer to Get.
type Found struct {
	Row Row
	OK  bool
}

// Scan asks for the rows with From <= key < To, in order, at most Limit of them; the answer is a []Row. An empty To
// is the end of the table, and a Limit of 0 is maxScan, which no answer exceeds.
type Scan struct {
	From, To string
	Limit    int
}

// maxScan bounds the rows of one answer.
const maxScan = 1000

// QueryConcurrently answers a Get or a Scan on any goroutine. The rows of an answer are of one moment.
func (t *Table) QueryConcurrently(question any) (any, error) {
	root := t.root.Load()
	switch q := question.(type) {
	case Get:
		row, ok := get(root, q.Key)
		return Found{Row: row, OK: ok}, nil
	case Scan:
		return scan(root, q), nil
	}
	return nil, malformedf("question of type %T", question)
}

// Query answers the same questions on the member's goroutine, for leader and consistent queries.
func (t *Table) Query(_ machine.QueryContext, question any) (any, error) {
	return t.QueryConcurrently(question)
}

// scan collects the rows that q asks for.
func scan(root *node, q Scan) []Row {
	limit := q.Limit
	if limit <= 0 || limit > maxScan {
		limit = maxScan
	}
	var rows []Row
	ascend(root, q.From, func(r Row) bool {
		if q.To != "" && r.Key >= q.To {
			return false
		}
		rows = append(rows, r)
		return len(rows) < limit
	})
	return rows
}

// Overview tells the number of rows.
func (t *Table) Overview() map[string]any { return map[string]any{"rows": size(t.root.Load())} }
