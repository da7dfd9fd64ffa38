package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// maxWrites bounds the unconfirmed orders that are told apart. Beyond, the newest two become one, which delays a
// confirmation and never makes it early.
const maxWrites = 8

// write is a durable order that is not confirmed: when all up to seq is on disk, so are the entries up to last.
type write struct {
	seq  uint64
	last ra.Index
}

// durability knows what of log and state is on disk. Entries and states share one sequence of orders.
//
// Invariants: index <= last entry of the log; writes have rising seq, all above written; no write has a last at or
// above the start of a later truncation. So a late confirmation of entries that were overwritten since, even by
// entries with the same index and term, confirms none of them.
type durability struct {
	index    ra.Index // the entries of the present log up to here are on disk
	seq      uint64   // number of the newest order
	written  uint64   // number up to which orders are confirmed
	stateSeq uint64   // order that carried the present term and vote
	writes   []write
}

// order opens a new durable order, after which the log ends at last.
func (d *durability) order(last ra.Index) uint64 {
	d.seq++
	if n := len(d.writes); n == maxWrites {
		d.writes[n-1] = write{d.seq, last}
	} else {
		d.writes = append(d.writes, write{d.seq, last})
	}
	return d.seq
}

// confirm takes note that everything up to seq is on disk, and reports whether that was news.
func (d *durability) confirm(seq uint64) bool {
	if seq <= d.written || seq > d.seq {
		return false
	}
	d.written = seq
	done := 0
	for done < len(d.writes) && d.writes[done].seq <= seq {
		d.index = max(d.index, d.writes[done].last)
		done++
	}
	d.writes = d.writes[:copy(d.writes, d.writes[done:])]
	return true
}

// truncate lowers what is and what will be confirmed: the entries from i on are no longer those that were written.
func (d *durability) truncate(i ra.Index) {
	d.index = min(d.index, i-1)
	for k := range d.writes {
		d.writes[k].last = min(d.writes[k].last, i-1)
	}
}

// reset takes note that the log was emptied and is durable up to last by a snapshot.
func (d *durability) reset(last ra.Index) {
	d.truncate(1)
	d.index = last
}

// stateWritten reports whether the state of the last order that had one is on disk.
func (d *durability) stateWritten() bool { return d.written >= d.stateSeq }
