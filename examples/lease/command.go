package main

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Op is what a command asks for.
type Op uint8

// The operations.
const (
	// Acquire takes the lock, or gets in line for it. Who has it already keeps it for another lease.
	Acquire Op = iota + 1
	// Release gives the lock back that was granted with Token.
	Release
)

// Command is what an owner of locks says to the machine.
type Command struct {
	Op    Op
	Lock  string
	Owner ra.PID
	Lease time.Duration // of Acquire
	Token ra.Index      // of Release
}

// Reply is what the machine answers.
type Reply struct {
	// Token is not 0 if the owner has the lock. It grows with every grant of that lock.
	Token ra.Index
	// Refused says why the command was not carried out, if it was not.
	Refused string
}

// Changed is the message to an owner that should ask again: most likely it has the lock now.
type Changed struct{ Lock string }

// protocol is how commands and replies are encoded.
var protocol = machine.CBOR[Command, Reply]()
