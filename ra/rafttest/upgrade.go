package rafttest

import "github.com/heliopolis-raft/heliopolis/machine"

// upgradeSome stops a node in good order, which comes back with newer code of its machines.
func (s *sim) upgradeSome() {
	if n := s.nodes[s.dice.IntN(len(s.nodes))]; n.up {
		n.code += machine.Version(1 + s.dice.IntN(2))
		n.stop()
	}
}

// newestCode returns the newest code that any node has.
func (s *sim) newestCode() (code machine.Version) {
	for _, n := range s.nodes {
		code = max(code, n.code)
	}
	return code
}

// modernize has all members run the newest code that there is, as operators do who have begun an upgrade.
func (s *sim) modernize() {
	for _, n := range s.nodes {
		for _, p := range n.peers {
			if p.alive() && p.code < n.code {
				p.kill()
			}
		}
	}
}
