package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// marked returns which members have a mark, and what is damaged.
func (m *model) marked() map[ra.UID]Damage {
	out := make(map[ra.UID]Damage)
	for uid, w := range m.log.writers {
		if w.live.mark.What != 0 {
			out[uid] = w.live.mark.What
		}
	}
	return out
}

// TestLostBatch loses whole batches, both tables and all. Who had nothing there is not marked, also if he never says anything
// again; who had, and shows nothing later, is. It is the same at the next start. Only where nobody repeats who wrote in what is
// lost are all members in doubt (I11; reliability goal G7).
func TestLostBatch(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	for _, uid := range []ra.UID{"a", "b", "c", "d"} {
		m.register(uid)
	}
	m.commit()               // 0
	m.vote("a", 1, "a")      // 1
	m.commit()               //
	m.add("b", 1, 0, 1, 100) // 2
	m.commit()               //
	m.register("late")       // 3
	m.commit()               //
	m.vote("c", 1, "a")      // 4, and the end mark of the file behind it
	m.commit()               //
	m.try(func() error { return m.log.roll(block) })
	m.vote("a", 2, "a") // 0, which gives it its number in this file
	m.commit()
	m.vote("b", 2, "b") // 1, likewise
	m.commit()
	m.vote("a", 3, "a") // 2
	m.commit()
	m.vote("d", 3, "b") // 3, and the seal behind it
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	everybody := map[ra.UID]Damage{"a": anyDamage, "b": anyDamage, "c": anyDamage, "d": anyDamage, "late": anyDamage}
	none := map[ra.UID]Damage{}
	for what, c := range map[string]struct {
		file        uint64
		first, last int64 // of the lost batches
		known       bool
		want        map[ra.UID]Damage
	}{
		"a vote, and votes later":  {1, 1, 1, true, map[ra.UID]Damage{"a": DamagedLog | DamagedRegistration}},
		"an entry":                 {1, 2, 2, true, map[ra.UID]Damage{"b": DamagedLog | DamagedRegistration}},
		"a registration":           {1, 3, 3, true, map[ra.UID]Damage{"late": anyDamage}},
		"the last one of a file":   {1, 4, 4, true, map[ra.UID]Damage{"c": anyDamage}},
		"two neighbours":           {1, 3, 4, true, map[ra.UID]Damage{"late": anyDamage, "c": anyDamage}},
		"all but the first":        {1, 1, 4, true, map[ra.UID]Damage{"a": DamagedLog | DamagedRegistration, "b": DamagedLog | DamagedRegistration, "late": anyDamage, "c": anyDamage}},
		"with the end mark":        {1, 4, 5, false, map[ra.UID]Damage{"c": anyDamage, "late": anyDamage}},
		"the end mark":             {1, 5, 5, true, none},
		"what binds":               {2, 0, 0, true, map[ra.UID]Damage{"a": DamagedLog | DamagedRegistration}},
		"two that bind":            {2, 0, 1, true, map[ra.UID]Damage{"a": DamagedLog | DamagedRegistration, "b": anyDamage}},
		"the last one of all":      {2, 3, 3, true, map[ra.UID]Damage{"d": anyDamage}},
		"with the seal, as before": {2, 3, 4, false, everybody},
		"all of a file, as before": {2, 0, 4, false, everybody},
	} {
		for _, garbage := range []bool{false, true} {
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			overwrite(t, hurt, "wal/"+fileName(c.file), blockOf(c.first), (c.last-c.first+1)*block, garbage, m.rng)
			m.reopen(hurt, what, false)
			if got := m.marked(); !maps.Equal(got, c.want) {
				t.Errorf("%s: marked are %v, want %v", what, got, c.want)
			}
			m.cfg.FS = hurt.Crash(vfs.CrashKept, m.rng)
			out := m.open()
			if c.first == 5 { // nothing is missing: the next file says where this one ends
				continue
			}
			if want := []Loss{{File: c.file, Offset: blockOf(c.first), Attributed: c.known}}; m.err != nil || !slices.Equal(out.Losses, want) {
				t.Errorf("%s: %+v, want %+v; %v", what, out.Losses, want, m.err)
			}
		}
	}
}

// TestLostBatchAtRandom loses any one batch of any log that has another one behind it: only who wrote there is marked.
func TestLostBatchAtRandom(t *testing.T) {
	hurtSome := 0
	for seed := range uint64(150) {
		disk := vfs.NewMem()
		m := newModel(t, disk, seed)
		m.open()
		wrote := make(map[place][]ra.UID) // in the batch that is there
		commit := func() {
			for i := range m.batch.rows {
				uid := m.batch.rows[i].writer.uid
				at := place{m.log.cur.header.seq, m.log.cur.off}
				wrote[at] = append(wrote[at], uid)
			}
			file := m.log.cur.header.seq
			m.commit()
			if m.err == nil && m.log.cur.header.seq != file {
				t.Fatal("the log went on to another file by itself")
			}
		}
		for i := range 3 + m.rng.IntN(10) {
			m.register(ra.UID(fmt.Sprint("m", i)))
		}
		commit()
		for range 1 + m.rng.IntN(3) {
			for range 1 + m.rng.IntN(6) {
				for range 1 + m.rng.IntN(3) {
					m.anyOrder()
				}
				commit()
			}
			if m.rng.IntN(3) == 0 {
				m.try(m.log.Seal)
			}
			m.try(func() error { return m.log.roll(block) })
		}
		m.anyOrder()
		commit()
		m.try(m.log.Close)
		if m.err != nil {
			t.Fatal(m.err)
		}
		for at, uids := range wrote {
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			name := "wal/" + fileName(at.file)
			h := decodeBatchHeader(whole(t, hurt, name)[at.off:])
			overwrite(t, hurt, name, at.off, int64(h.length), false, m.rng)
			m.reopen(hurt, fmt.Sprintf("seed %d, batch at %d in file %d", seed, at.off, at.file), false)
			for uid := range m.marked() {
				hurtSome++
				if !slices.Contains(uids, uid) {
					t.Fatalf("seed %d: the batch at %d in file %d had orders of %v, and %s is marked", seed, at.off, at.file, uids, uid)
				}
			}
		}
	}
	if hurtSome == 0 {
		t.Error("nobody was ever marked")
	}
}

// place is where a batch stands.
type place struct {
	file uint64
	off  int64
}

// anyOrder has a member order something.
func (m *model) anyOrder() {
	uid := m.names[m.rng.IntN(len(m.names))]
	if term := m.members[uid].now().state.Term; m.rng.IntN(2) == 0 {
		m.vote(uid, term+1, uid)
	} else {
		m.add(uid, max(term, 1), 0, 1, 50)
	}
}

// TestMoreLostThanEchoed loses more batches than the next one repeats: of the first ones nobody knows whose they are, and all
// are in doubt who do not show that they lost nothing. Who has shown it is sound all the same, also if it was lost which number
// he has in the file, as far as that is repeated.
func TestMoreLostThanEchoed(t *testing.T) {
	for _, lost := range []int64{echoBatches, echoBatches + 1} {
		disk := vfs.NewMem()
		m := newModel(t, disk, 6)
		m.cfg.FileSize = 64 * block
		m.open()
		for _, uid := range []ra.UID{"a", "b", "first", "quiet"} {
			m.register(uid)
		}
		m.commit()
		m.try(func() error { return m.log.roll(block) })
		m.vote("a", 1, "a")
		m.commit()
		m.vote("first", 1, "a")
		m.commit()
		for i := range echoBatches {
			m.vote("a", m.members["a"].now().state.Term+1, "a")
			if i == echoBatches/2 {
				m.vote("b", 1, "a")
			}
			m.commit()
		}
		m.vote("b", 2, "a")
		m.commit()
		m.try(m.log.Close)
		if m.err != nil {
			t.Fatal(m.err)
		}
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		overwrite(t, hurt, "wal/"+fileName(2), blockOf(echoBatches+2-lost), lost*block, false, m.rng)
		m.reopen(hurt, fmt.Sprintf("%d batches", lost), false)
		want := map[ra.UID]Damage{"a": anyDamage, "b": DamagedLog | DamagedRegistration}
		if lost > echoBatches {
			want["first"], want["quiet"] = anyDamage, anyDamage
		}
		if got := m.marked(); !maps.Equal(got, want) {
			t.Errorf("%d batches are lost: marked are %v, want %v", lost, got, want)
		}
	}
}

// TestEchoOfNobody loses a batch that had orders of a member of whom nobody repeats which number he has: the loss is one of
// nobody knows whom (I11).
func TestEchoOfNobody(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.cfg.FileSize = 64 * block
	m.open()
	for _, uid := range []ra.UID{"a", "b", "quiet"} {
		m.register(uid)
	}
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	for i := range echoBatches + 4 {
		uid := ra.UID("b")
		if i == 0 || i == echoBatches+2 {
			uid = "a"
		}
		m.vote(uid, m.members[uid].now().state.Term+1, uid)
		m.commit()
	}
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	name := "wal/" + fileName(2)
	overwrite(t, disk, name, blockOf(0), (echoBatches+1)*block, false, m.rng)
	overwrite(t, disk, name, blockOf(echoBatches+2), block, false, m.rng)
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	m.reopen(hurt, "nobody's", false)
	want := map[ra.UID]Damage{"a": anyDamage, "b": DamagedLog | DamagedRegistration, "quiet": anyDamage}
	if got := m.marked(); !maps.Equal(got, want) {
		t.Errorf("marked are %v, want %v", got, want)
	}
	m.cfg.FS = hurt.Crash(vfs.CrashKept, m.rng)
	out := m.open()
	if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 2, Offset: blockOf(0)}, {File: 2, Offset: blockOf(echoBatches + 2)}}) {
		t.Errorf("%+v, %v", out, m.err)
	}
}

// TestEchoOfAClone: behind a lost batch stands one of a clone, which shares the file and its first batch. It repeats what came
// before it there. That is not what came before the loss here, so it tells nothing, nor counts anything of it (I11; F10).
func TestEchoOfAClone(t *testing.T) {
	m, one, other := clones(t)
	name := "wal/" + fileName(1)
	b := whole(t, one, name)
	copy(b[blockOf(3):], whole(t, other, name)[blockOf(3):])
	clear(b[blockOf(2):blockOf(3)])
	put(t, one, name, b)
	for range 2 {
		one = one.Crash(vfs.CrashKept, m.rng)
		m.cfg.FS = one
		m.brokenAt2(t, "a batch is lost")
	}
}

// TestLearnsNobodyTwice: who has a number in the file has one span there, whatever an echo says behind a broken chain.
func TestLearnsNobodyTwice(t *testing.T) {
	var e echo
	e.begin(0)
	e.note(&row{number: 7, flags: rowBind, uid: "a"})
	e.note(&row{number: 8, flags: rowBind, uid: "b"})
	e.end()
	e.push()
	all, ok := decodeEcho(e.append(nil, 0))
	w := &walk{numbers: map[uint32]int{0: 0}, spans: []Span{{UID: "a"}}}
	w.learn(all)
	if want := map[uint32]int{0: 0, 7: 0, 8: 1}; !ok || len(w.spans) != 2 || !maps.Equal(w.numbers, want) {
		t.Errorf("spans %+v, numbers %v", w.spans, w.numbers)
	}
}

// TestLossAndStateFile loses batches of which the state file accounts for some: who wrote in those only has lost nothing but
// entries.
func TestLossAndStateFile(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	for _, uid := range []ra.UID{"a", "b", "c"} {
		m.register(uid)
	}
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.vote("c", 1, "a")
	m.commit()
	m.vote("a", 1, "a")
	m.commit()
	m.release() // the first file
	m.vote("b", 1, "a")
	m.commit()
	m.vote("c", 2, "a")
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	overwrite(t, disk, "wal/"+fileName(2), blockOf(1), 2*block, false, m.rng)
	m.cfg.FS = disk
	out := m.open()
	if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 2, Offset: blockOf(1), Attributed: true}}) {
		t.Fatalf("%+v, %v", out, m.err)
	}
	if got := m.marked(); got["b"] != anyDamage || got["a"]&DamagedState != 0 || got["c"] != 0 {
		t.Errorf("marked are %v", got)
	}
	if a := m.log.writers["a"]; a.live.state.Term != 1 {
		t.Errorf("a is in term %d", a.live.state.Term)
	}
}

// TestHintsAreNotMissed: a lost batch that had nothing of a member but how far it had applied harms nobody, and it is known all
// the same which number it gave the member.
func TestHintsAreNotMissed(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.add("a", 1, 0, 2, 100)
	m.add("b", 1, 0, 2, 100)
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	for _, uid := range []ra.UID{"a", "b"} { // b says nothing any more
		if err := m.batch.Append(m.members[uid].w, &Op{Applied: 1}); err != nil {
			t.Fatal(err)
		}
	}
	m.commit()
	m.vote("a", 1, "b")
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	overwrite(t, disk, "wal/"+fileName(2), blockOf(0), block, false, m.rng)
	m.reopen(disk, "a hint is lost", false)
	if got := m.marked(); len(got) > 0 {
		t.Errorf("marked are %v", got)
	}
	if a := m.log.writers["a"]; a.live.state.Vote != "b" {
		t.Errorf("a votes %q", a.live.state.Vote)
	}
}

// TestEchoMakesWay: the echo of more than the batch just before takes only what would be padding. A batch is as long as with the
// least echo, holds what it must, and is never longer than was reckoned with before.
func TestEchoMakesWay(t *testing.T) {
	more := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l := open(t, Config{FS: vfs.NewMem(), FileSize: 64 << 20})
		b := l.NewBatch()
		f := &file{header: fileHeader{id: 1, seq: 1 << 40}}
		var writers []*Writer
		var past [][]byte // what the batches before have to be repeated as, the newest first
		for range 200 {
			for range 1 + rng.IntN([]int{1, 5, 200}[rng.IntN(3)]) {
				if len(writers) < 2 || rng.IntN(10) == 0 {
					w, err := l.Writer(ra.UID(fmt.Sprint("member", len(writers))))
					if err != nil {
						t.Fatal(err)
					}
					writers = append(writers, w)
					if err := b.Append(w, &Op{Seq: 1, Register: &Registration{Name: "n"}}); err != nil {
						t.Fatal(err)
					}
				}
				w := writers[rng.IntN(len(writers))]
				body := bytes.Repeat([]byte{1}, 40+rng.IntN([]int{100, 3900, 90_000}[rng.IntN(3)]))
				if err := b.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{{Index: w.Last() + 1, Term: 1, Body: body}}}); err != nil {
					t.Fatal(err)
				}
			}
			need, frames, least := b.need(f.echo.size()), len(b.buf)-b.front, f.echo.size()
			out := b.encode(f, 1, 0)
			h := decodeBatchHeader(out)
			_, told, ok := decodeTable(out[batchFixed:][:h.table], h.rows)
			if !ok || len(told) > len(past) || len(told) > echoBatches || len(told) == 0 && len(past) > 0 {
				t.Fatalf("%d batches are echoed of %d: %v", len(told), len(past), ok)
			}
			size := echoOfNone
			for i, e := range told {
				got := binary.LittleEndian.AppendUint32(nil, e.chain)
				got = append(append(got, e.members...), 0)
				if !bytes.Equal(got, past[i]) {
					t.Fatalf("the echo of the batch %d before is %x, want %x", i+1, got, past[i])
				}
				size += len(got)
			}
			if room := size - least; room > echoRoom {
				t.Fatalf("%d bytes are echoed beside the newest batch", room)
			}
			short := alignUp(2*(batchFixed+int(h.table)-(size-least)) + frames)
			if frames <= smallFrames && len(out) != short || int64(len(out)) > need {
				t.Fatalf("a batch of %d bytes, without its echo %d, at most %d", len(out), short, need)
			}
			if b.echo < len(f.echo.next) {
				t.Fatalf("%d bytes are to be echoed, reckoned with are %d", len(f.echo.next), b.echo)
			}
			more = max(more, len(told))
			past = slices.Insert(past, 0, bytes.Clone(f.echo.next))
			f.chain = f.nextChain
			f.echo.push()
			b.Reset()
		}
	}
	if more != echoBatches {
		t.Errorf("at most %d batches were echoed", more)
	}
}

// TestEndMarkHasRoom fills files to the end, the room for emergencies too, with batches of so many new members that to repeat them
// takes several blocks. The mark at the end of the file has room for it.
func TestEndMarkHasRoom(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		disk := vfs.NewMem()
		l := open(t, Config{FS: disk, Dir: "wal", FileSize: 512 << 10})
		b, rng, n := l.NewBatch(), rand.New(rand.NewPCG(2, 2)), 0
		for l.cur.header.seq < 60 {
			for range 1 + rng.IntN(500) {
				n++
				register(t, l, b, ra.UID(fmt.Sprintf("a-member-with-quite-a-long-name-%d", n)))
			}
			l.room.full.Store(true)
			before := l.cur
			commit(t, l, b)
			if sealed {
				if err := l.Seal(); err != nil {
					t.Fatal(err)
				}
			}
			if l.cur == before {
				continue
			}
			mark := decodeBatchHeader(whole(t, disk, "wal/"+fileName(before.header.seq))[l.cur.header.prevEnd:])
			if mark.flags != batchContinues || mark.fileID != before.header.id || before.off > before.size {
				t.Fatalf("behind what is confirmed of file %d stands %+v, its end is at %d of %d", before.header.seq, mark, before.off, before.size)
			}
		}
	}
}

// FuzzEcho feeds a decoder that sees checksummed bytes only with others: no panic, little memory, and what it takes is what
// would be written.
func FuzzEcho(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 1, 2, 3, 4, 0})
	f.Add([]byte("\x02\x01\x02\x03\x04\x03\x01u\x00\x05\x06\x07\x08\x05\x01v\x82\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []echoed
		var ok bool
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { all, ok = decodeEcho(b) })
		if !ok {
			return
		}
		again := []byte{byte(len(all))}
		for i := range all {
			var e echo
			e.begin(all[i].chain)
			all[i].each(func(m echoedMember) {
				r := row{number: m.number, uid: ra.UID(m.uid)}
				if m.bound {
					r.flags |= rowBind
				}
				if m.wrote {
					r.flags |= rowState
				}
				e.note(&r)
			})
			e.end()
			again = append(again, e.next...)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("decoded %x, encodes as %x", b, again)
		}
	})
}
