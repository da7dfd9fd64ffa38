package ra

// Result is how a command or a query ended well.
type Result struct {
	// Reply is what the machine answered, verbatim (CMD-01); it may be an error of the machine's own.
	Reply any
	// Index and Term are those of the command's entry. If the machine answered later (MAC-05) Index is the entry at which
	// it did, and Term the leader's. For a query Index is the last applied entry of the state that was asked, and Term the
	// member's current term (QRY-05).
	Index Index
	Term  Term
	// Leader is the member that leads as far as the one that answered knows, or the zero ServerID (CMD-02).
	Leader ServerID
}

// Event is what a member tells a process in its client lane. Body is an Applied, a Rejected, or for a message sent by
// the machine as an event (EVT-03) whatever it is.
type Event struct {
	From ServerID
	Body any
}

// Applied tells the sender of commands what became of them, in the order in which they were applied: one event per
// sender and batch (EVT-01).
type Applied []AppliedCommand

// AppliedCommand is one command of an Applied.
type AppliedCommand struct {
	// Correlation is the sender's own number for the command.
	Correlation uint64
	Result
}

// Rejected tells the sender that a member did not take a command since it does not lead (EVT-02). The command was
// certainly not applied.
type Rejected struct {
	Correlation uint64
	// Leader is whom to send it to instead, or the zero ServerID.
	Leader ServerID
}
