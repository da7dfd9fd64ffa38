package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// report is what a run says at its end. What concerns messages is counted since the directory was made, from the
// queues' state; commands, syncs and times are those of this run.
type report struct {
	Queues          int     `json:"queues"`
	Members         int     `json:"members"`
	Nodes           int     `json:"nodes"`
	Published       uint64  `json:"published"`
	Delivered       uint64  `json:"delivered"`
	Acknowledged    uint64  `json:"acknowledged"`
	Redelivered     uint64  `json:"redelivered"`
	Lost            uint64  `json:"lost"`
	Duplicates      uint64  `json:"duplicates"`
	Commands        uint64  `json:"commands"`
	CommandsPerSec  float64 `json:"commands_per_s"`
	Syncs           uint64  `json:"syncs"`
	EntriesPerSync  float64 `json:"entries_per_sync"`
	RecoverySeconds float64 `json:"recover_s"`

	verdict *verdict
	lines   uint64
}

func (j *job) report() *report {
	v := audit(j.streams, j.state)
	return &report{
		Queues: j.o.queues, Members: j.o.members, Nodes: j.o.nodes,
		Published: v.published, Delivered: v.delivered, Acknowledged: v.acknowledged, Redelivered: v.redelivered,
		Lost: v.lost, Duplicates: v.duplicates,
		Commands:        v.commands - j.before,
		CommandsPerSec:  rate(v.commands-j.before, j.worked.Seconds(), 1),
		Syncs:           j.syncs,
		EntriesPerSync:  rate(j.entries, float64(j.syncs), 100),
		RecoverySeconds: math.Round(j.recovered.Seconds()*1000) / 1000,
		verdict:         v,
		lines:           j.text.count(),
	}
}

// rate returns n for each unit, rounded to parts of a whole.
func rate(n uint64, units, parts float64) float64 {
	if units == 0 {
		return 0
	}
	return math.Round(float64(n)/units*parts) / parts
}

func (r *report) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// write writes the summary for people.
func (r *report) write(w io.Writer) error {
	outcome := "Each line was published exactly once and acknowledged."
	if !r.verdict.good() {
		outcome = "THIS IS NOT RIGHT: lines were lost, doubled or changed."
	}
	_, err := fmt.Fprintf(w, `%d queues of %d members on %d nodes
  lines of the text  %8d
  published          %8d
  delivered          %8d   %d of them again
  acknowledged       %8d
  lost               %8d
  duplicates         %8d
  commands           %8d   %.0f a second
  syncs              %8d   %.2f entries each
  recovery           %8.3f s
%s
`, r.Queues, r.Members, r.Nodes, r.lines, r.Published, r.Delivered, r.Redelivered, r.Acknowledged, r.Lost, r.Duplicates,
		r.Commands, r.CommandsPerSec, r.Syncs, r.EntriesPerSync, r.RecoverySeconds, outcome)
	return err
}
