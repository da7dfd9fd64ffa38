package truth

import (
	"bytes"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
)

// dump compares what a cluster says that it has applied with what is known. Nobody sends commands meanwhile, and the
// processes that sent earlier ones are gone: what is not there now must never come.
func (t *Truth) dump(k *known, e journal.Event) error {
	if k.slot.Status != journal.Live || e.Nonce != k.slot.Nonce {
		return fmt.Errorf("a cluster was read that is not there")
	}
	if !bytes.HasPrefix(e.Data, k.read) {
		return fmt.Errorf("has %d commands, which do not begin with the %d that were read from it before",
			len(e.Data)/journal.RecordLen, len(k.read)/journal.RecordLen)
	}
	c := check{k: k, last: make(map[uint32]uint32), seen: make(map[command]bool)}
	for i := len(k.read) / journal.RecordLen; i < len(e.Data)/journal.RecordLen; i++ {
		r := journal.RecordAt(e.Data, i)
		if err := c.record(&r); err != nil {
			return fmt.Errorf("command %d of %d, at index %d: %w", i+1, len(e.Data)/journal.RecordLen, r.Index, err)
		}
	}
	if err := c.missing(); err != nil {
		return err
	}
	t.counts.Dumps++
	t.counts.Compared += int64(len(c.seen))
	k.read = e.Data
	k.forget()
	return nil
}

// check goes through the commands of a cluster that were not read before.
type check struct {
	k    *known
	last map[uint32]uint32 // by client
	seen map[command]bool
	at   place
}

// record checks one command.
func (c *check) record(r *journal.Record) error {
	id, k := command{r.Client, r.Seq}, c.k
	switch {
	case r.Nonce != k.slot.Nonce:
		return fmt.Errorf("belongs to another cluster")
	case !r.Whole || r.Sum != r.Command.Sum():
		return fmt.Errorf("%+v does not have the bytes that were sent", r.Command)
	case r.Seq > k.sent[r.Client]:
		return fmt.Errorf("command %d of client %d was never sent", r.Seq, r.Client)
	case k.refused[id]:
		return fmt.Errorf("command %d of client %d was refused", r.Seq, r.Client)
	case c.seen[id]:
		return fmt.Errorf("command %d of client %d is there twice", r.Seq, r.Client)
	case r.Seq <= c.last[r.Client]:
		return fmt.Errorf("command %d of client %d comes after %d", r.Seq, r.Client, c.last[r.Client])
	case r.Index <= c.at.index || r.Term < c.at.term:
		return fmt.Errorf("of term %d, comes after index %d of term %d", r.Term, c.at.index, c.at.term)
	}
	if want, ok := k.acked[id]; ok && want != (place{r.Index, r.Term}) {
		return fmt.Errorf("of term %d: command %d of client %d was acknowledged at %d of term %d", r.Term, r.Seq, r.Client, want.index, want.term)
	}
	c.seen[id], c.last[r.Client], c.at = true, r.Seq, place{r.Index, r.Term}
	return nil
}

// missing finds commands that were acknowledged and are not there.
func (c *check) missing() error {
	lost := 0
	var some command
	for id := range c.k.acked {
		if !c.seen[id] {
			lost++
			some = id
		}
	}
	if lost == 0 {
		return nil
	}
	at := c.k.acked[some]
	return fmt.Errorf("%d of %d acknowledged commands are lost, one is command %d of client %d at index %d of term %d",
		lost, len(c.k.acked), some.seq, some.client, at.index, at.term)
}
