package snapshot

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// The files in the directory of a store. Everything else there is moved to quarantine.
//
//	UID.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.snap        snapshot of member UID, index and term in hexadecimal
//	UID.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.ckpt        checkpoint, those for recovery included
//	UID.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.snap.tmp    one that is being written; removed at the next start
//	UID.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.snap.recv   one that is being received; removed at the next start
//	PPPPPPPPPPPPPPPP.pack                             snapshots of many members, number in hexadecimal
//	PPPPPPPPPPPPPPPP.pack.tmp                         one that is being written; removed at the next start
//	quarantine/                                       what was found and not understood, or damaged
//
// In an era other than 0 (Store.AcceptLoss) that stands behind the term, in 8 hexadecimal digits behind a dot.
const (
	snapSuffix = ".snap"
	ckptSuffix = ".ckpt"
	packSuffix = ".pack"
	tempSuffix = ".tmp"
	recvSuffix = ".recv"
)

// MaxUIDLen bounds the length of uids here, in bytes: file names end at 255.
const MaxUIDLen = 190

// id names a snapshot or a checkpoint.
type id struct {
	uid        ra.UID
	index      ra.Index
	term       ra.Term
	era        uint32
	checkpoint bool
}

// String returns the file's name.
func (n id) String() string {
	suffix := snapSuffix
	if n.checkpoint {
		suffix = ckptSuffix
	}
	era := ""
	if n.era != 0 {
		era = fmt.Sprintf(".%08X", n.era)
	}
	return fmt.Sprintf("%s.%016X.%016X%s%s", n.uid, n.index, n.term, era, suffix)
}

// check reports whether the id can stand in a file name.
func (n id) check() error {
	if len(n.uid) > MaxUIDLen || n.index == 0 {
		return fmt.Errorf("%w: snapshot of %.300q at index %d", ra.ErrInvalidName, n.uid, n.index)
	}
	return ra.CheckName(string(n.uid))
}

// parseName reads a name of exactly the form that String gives.
func parseName(name string) (id, bool) {
	rest, ok := strings.CutSuffix(name, snapSuffix)
	checkpoint := false
	if !ok {
		rest, checkpoint = strings.CutSuffix(name, ckptSuffix)
	}
	if !ok && !checkpoint {
		return id{}, false
	}
	n := id{checkpoint: checkpoint}
	if at := len(rest) - 9; at > 0 && rest[at] == '.' {
		era, err := strconv.ParseUint(rest[at+1:], 16, 32)
		if err != nil {
			return id{}, false
		}
		n.era, rest = uint32(era), rest[:at]
	}
	const numbers = 2 * (1 + 16)
	if len(rest) <= numbers {
		return id{}, false
	}
	at := len(rest) - numbers
	index, err1 := strconv.ParseUint(rest[at+1:at+17], 16, 64)
	term, err2 := strconv.ParseUint(rest[at+18:], 16, 64)
	n.uid, n.index, n.term = ra.UID(rest[:at]), ra.Index(index), ra.Term(term)
	return n, err1 == nil && err2 == nil && n.check() == nil && n.String() == name
}

// packName returns the name of a pack.
func packName(number uint64) string { return fmt.Sprintf("%016X%s", number, packSuffix) }

// parsePackName reads a name of exactly the form that packName gives, of a number that is not 0.
func parsePackName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, packSuffix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && number != 0 && packName(number) == name
}

// isTemp reports whether name is that of a snapshot, or of a pack, that was not whole yet.
func isTemp(name string) bool {
	if inner, ok := strings.CutSuffix(name, tempSuffix); ok {
		if _, ok := parsePackName(inner); ok {
			return true
		}
	}
	for _, suffix := range [...]string{tempSuffix, recvSuffix} {
		if inner, ok := strings.CutSuffix(name, suffix); ok {
			_, ok = parseName(inner)
			return ok
		}
	}
	return false
}
