package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// Term returns the term of this member, as of the last Step.
func (r *Raft) Term() ra.Term { return r.state.Term }

// Leader returns the leader of that term, or "" if it is not known.
func (r *Raft) Leader() ra.UID { return r.leader }

// Configuration returns the configuration in force, as of the last Step. It must not be changed.
func (r *Raft) Configuration() Configuration { return *r.config() }
