package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// The files in the directory of a log. Everything else there is moved to quarantine.
//
//	0000000000000017.wal     WAL file 17
//	0000000000000004.spare   file that waits to become one
//	0000000000000003.state   state file of generation 3
//	0000000000000004.spare.tmp   spare that is not whole yet; removed at the next start
//	state.tmp                state file that is being written; removed likewise
//	LOCK                     held by the process that has the log open
//	quarantine/              what was found and not understood
const (
	walSuffix   = ".wal"
	spareSuffix = ".spare"
	stateSuffix = ".state"
	stateTemp   = "state.tmp"
	tempSuffix  = ".tmp"
	lockName    = "LOCK"
	lostName    = "LOST"
)

const (
	// farNumber is above all numbers that a log comes to by itself. One that goes on behind a stranger's file of a number just
	// below comes to higher ones, so that those count if the content of the file says the same.
	farNumber = 1e15
	// maxNumber is above all numbers in names, whatever they are of.
	maxNumber = 1 << 62
)

func fileName(seq uint64) string  { return fmt.Sprintf("%016d%s", seq, walSuffix) }
func spareName(seq uint64) string { return fmt.Sprintf("%016d%s", seq, spareSuffix) }
func stateName(gen uint64) string { return fmt.Sprintf("%016d%s", gen, stateSuffix) }

// number returns the number in a name of exactly the form that the functions above write, with the given suffix.
func number(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || n >= maxNumber || fmt.Sprintf("%016d", n) != digits {
		return 0, false
	}
	return n, true
}
