package ra

import "errors"

// Why a change of a cluster's members, or a transfer of leadership, was refused. It has had no effect then.
var (
	// ErrChangeNotPermitted: another change is in flight, or the leader is too new to make one (MEM-01). Try again.
	ErrChangeNotPermitted = errors.New("ra: cluster change not permitted now")
	// ErrAlreadyMember: the member is there already, with that membership (MEM-02).
	ErrAlreadyMember = errors.New("ra: already a member")
	// ErrNotMember: there is no such member in the cluster's configuration (MEM-03).
	ErrNotMember = errors.New("ra: not a member")
	// ErrAlreadyLeader: leadership was to go to the member that has it (QRY-12).
	ErrAlreadyLeader = errors.New("ra: leads already")
	// ErrNonVoter: leadership was to go to a member without a vote (QRY-12), or such a one was to do what voters do.
	ErrNonVoter = errors.New("ra: not a voter")
	// ErrNotUpToDate: leadership was to go to a member that lacks entries (QRY-12). Try again.
	ErrNotUpToDate = errors.New("ra: member is not up to date")
)
