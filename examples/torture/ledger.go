package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/truth"
)

// ledger is what a campaign has done so far, over all the times that it was run.
type ledger struct {
	Campaign string `json:"campaign"`
	// Cycles counts faults that were followed by a recovery and a comparison, Rounds the data directories.
	Cycles int `json:"cycles"`
	Rounds int `json:"rounds"`
	// Early counts the faults that came before the process was ready: while it recovered from the one before.
	Early int `json:"early"`
	// Closed counts processes that were closed in good order, or killed while they closed.
	Closed int `json:"closed"`
	// Hits counts faults by what they were.
	Hits map[string]int `json:"hits,omitempty"`
	truth.Counts
	// Seconds is the time that was spent, Seed where the next round begins.
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`

	path  string
	began time.Time
	spent float64
}

// openLedger reads the ledger at path, or begins one. Without a path nothing is kept.
func openLedger(path, campaign string, seed uint64) (*ledger, error) {
	l := &ledger{Campaign: campaign, Seed: seed, Hits: make(map[string]int), path: path, began: time.Now()}
	if path == "" {
		return l, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, l.save()
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	if l.Campaign != campaign {
		return nil, fmt.Errorf("ledger %s is that of campaign %s", path, l.Campaign)
	}
	l.spent = l.Seconds
	return l, nil
}

// save writes the ledger.
func (l *ledger) save() error {
	l.Seconds = l.seconds()
	if l.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path+".tmp", append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(l.path+".tmp", l.path)
}

// seconds returns the time that was spent by now; all of it by one that was only read.
func (l *ledger) seconds() float64 {
	if l.began.IsZero() {
		return l.Seconds
	}
	return l.spent + time.Since(l.began).Seconds()
}

// hit counts a fault.
func (l *ledger) hit(what string) { l.Hits[what]++ }

// String is the progress line.
func (l *ledger) String() string {
	return fmt.Sprintf("%s: %d cycles in %d directories, %d during recovery; %d clusters, %d commands acknowledged, %d unknown, "+
		"%d refused; %d comparisons of %d commands; %.0f s",
		l.Campaign, l.Cycles, l.Rounds, l.Early, l.Created, l.Acked, l.Unknown, l.Refused, l.Dumps, l.Compared, l.seconds())
}
