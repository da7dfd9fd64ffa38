// Package machine is the contract between the library and the state machine that a user writes.
//
// A machine is a Go value that a member of a cluster feeds with the committed commands, one after another, in the
// same order on every member. It answers each with a reply and may ask for effects. Only three methods are required
// (Machine); everything else is a small interface that a machine has or has not. A machine that works on Go types
// instead of bytes implements Typed and is wrapped by From.
//
// # What a machine must keep to
//
// Apply, Upgrade and the Handle methods for downs, nodes and timeouts must be deterministic: the same calls in the
// same order give the same state, the same replies and the same effects on every member, today and when the log is
// replayed in a year. So they read no clock (Meta.Time is the leader's, the same everywhere), draw no random numbers,
// do no input or output, start no goroutine, and never let the order of a Go map decide anything: neither a reply,
// nor an effect, nor the bytes of a snapshot. What the world shall notice is said by effects. An operation that cannot
// be done is answered with an error as the reply; a panic stops the member. Package machinetest checks this, and what is said of
// snapshots below, in tests without a cluster.
//
// One goroutine at a time calls a machine, except Capture.WriteTo, Capture.Release and
// ConcurrentQuerier.QueryConcurrently. None of the calls may block. A reply leaves for another goroutine, so it must
// not share memory that a later Apply changes.
//
// # The callbacks of ra and their counterparts here
//
//	ra (ra_machine)                     here
//	init/1                              Factory, Init (MAC-02)
//	apply/3, user commands              Machine.Apply, Typed.Apply (MAC-03)
//	apply/3, {down, Pid, Info}          DownHandler (EFF-50)
//	apply/3, {nodeup|nodedown, Node}    NodeHandler (EFF-51)
//	apply/3, {timeout, Name}            TimeoutHandler (EFF-19)
//	apply/3, {machine_version, A, B}    Upgrader (VER-05)
//	state_enter/2                       StateEnterer (MAC-06)
//	tick/2                              Ticker (MAC-07)
//	init_aux/1                          AuxMaker (MAC-08)
//	handle_aux/5,6                      AuxHandler; ra_aux: AuxView (MAC-09, MAC-10)
//	overview/1                          Overviewer (MAC-11)
//	version/0                           Versioned (VER-01)
//	which_module/1                      VersionSelector, TypedVersionSelector (VER-05)
//	snapshot_module/0                   Machine.Snapshot, Machine.Restore (SNAP-08)
//	live_indexes/1                      LiveIndexer, asked of the Capture (MAC-12)
//	snapshot_installed/4                SnapshotInstaller (MAC-12)
//	query functions                     QueryFunc, Querier, ConcurrentQuerier (QRY-01)
//	{simple, Fun, State}                Simple (MAC-01)
//	'$ra_no_reply'                      NoReply, Effects.NoReply (MAC-05)
//
// # The effects of ra and their counterparts here
//
//	send_msg, with ra_event|cast|local  Effects.Send, with AsEvent, AsCast, Local
//	mod_call                            Effects.Call
//	append, try_append                  Effects.Append, TryAppend, AppendFor, TryAppendFor
//	monitor, demonitor                  Effects.Monitor, Demonitor, MonitorNode, DemonitorNode
//	timer, also {abs, true}, infinity   Effects.Timer, TimerAt, CancelTimer
//	log, also {local, Node}             Effects.Log, LogLocal
//	release_cursor with a state         Effects.ReleaseCursor, ReleaseCursorAt
//	release_cursor without a state      Effects.Promote
//	checkpoint                          Effects.Checkpoint, CheckpointAt
//	aux                                 Effects.Aux
//	reply                               Effects.Reply
//	garbage_collection                  none: Go's collector is the process's, not the member's
//	log_ext                             none: Log does
//
// Timers of machines have a name space of their own: no name collides with anything of the library (QRK-05).
package machine
