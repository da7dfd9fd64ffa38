package segment

import (
	"fmt"
	"strconv"
	"strings"
)

// The files in the directory of a set. Everything else there is moved to quarantine.
//
//	0000000000000017.seg       segment file 17
//	0000000000000018.seg.tmp   one that is not whole yet; removed at the next start
//	0000000000000017.damaged   empty: in segment file 17 is something that cannot be read
//	ROSTER                     to whom which segment file matters
//	ROSTER.tmp                 one that is not whole yet; removed at the next start
//	quarantine/                what was found and not understood, or damaged
const (
	segSuffix  = ".seg"
	tempSuffix = ".tmp"
	noteSuffix = ".damaged"
	rosterName = "ROSTER"
)

// maxNumber is above all numbers in names: no set gets so far, and one more can always be written.
const maxNumber = 1e15

func fileName(number uint64) string { return fmt.Sprintf("%016d%s", number, segSuffix) }
func tempName(number uint64) string { return fileName(number) + tempSuffix }

func noteName(number uint64) string { return fmt.Sprintf("%016d%s", number, noteSuffix) }

// parseNote returns the number in a name of exactly the form that noteName gives.
func parseNote(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, noteSuffix)
	if !ok {
		return 0, false
	}
	return parseName(digits + segSuffix)
}

// parseName returns the number in a name of exactly the form that fileName gives.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0 && n < maxNumber && fileName(n) == name
}

// isTemp reports whether name is that of a file that was not whole yet.
func isTemp(name string) bool {
	inner, ok := strings.CutSuffix(name, tempSuffix)
	if !ok {
		return false
	}
	_, isFile := parseName(inner)
	return isFile || inner == rosterName
}
