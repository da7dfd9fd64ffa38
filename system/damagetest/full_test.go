package damagetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestFlipsThroughRecovery opens nodes on disks with one flipped bit. With one-member clusters it costs at most the member
// whose byte it is, which says so; with three members it costs nobody anything: whoever has lost something gets it back
// from its peers (I9, I10, I11, I21; F9; goal G7).
func TestFlipsThroughRecovery(t *testing.T) {
	count := 80
	if testing.Short() {
		count = 30
	}
	if *flips > 0 {
		count = *flips
	}
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, "-nodes"), func(t *testing.T) {
			r := referenceOf(t, nodes)
			plans := make([][]damage, nodes)
			for k, node := range r.nodes {
				plans[k] = r.flips(t, node, (count+nodes-1-k)/nodes)
			}
			total := 0
			for _, plan := range plans {
				total += len(plan)
			}
			campaign(t, fmt.Sprint("flips-", nodes), total, func(t *testing.T, i int) []finding {
				k := 0
				for ; i >= len(plans[k]); k++ {
					i -= len(plans[k])
				}
				return []finding{r.finding(t, r.nodes[k], plans[k][i])}
			})
		})
	}
}

// TestDamagesThroughRecovery does the same with files that are cut, swapped, missing, older or too many, and with sectors
// that are zero or garbled. More members may be hurt then, but none in silence (I9, I10, I11, I12, I21; F10).
func TestDamagesThroughRecovery(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, "-nodes"), func(t *testing.T) {
			r := referenceOf(t, nodes)
			plan := r.damages(t, r.nodes[0])
			if *flips == 0 {
				count := 80
				if testing.Short() {
					count = 30
				}
				plan = thin(plan, count)
			}
			campaign(t, fmt.Sprint("damages-", nodes), len(plan), func(t *testing.T, i int) []finding {
				return []finding{r.finding(t, r.nodes[0], plan[i])}
			})
		})
	}
}

// TestSetBack sets the log of a node back to what it once was, or puts files into it of a copy that went on in its own way, or of
// another node: those whose log that is may all have lost something, and none does so in silence (I7, I9, I11, I21; F10).
func TestSetBack(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, "-nodes"), func(t *testing.T) {
			r := referenceOf(t, nodes)
			plan := r.setBack(t, r.nodes[0])
			table := campaign(t, fmt.Sprint("setback-", nodes), len(plan), func(t *testing.T, i int) []finding {
				return []finding{r.finding(t, r.nodes[0], plan[i])}
			})
			if len(table) < min(nodes+1, 3) {
				t.Errorf("%d kinds of damage", len(table))
			}
		})
	}
}

// TestDamagesAfterKill damages the newest batches of the log of a node that was killed at work. Nothing in the log stands behind
// them, and a crash of the system could have torn the last one; a kill leaves all that was acknowledged, and so whatever is
// missing is noticed (I9, I10, I11, I12; F9, F10).
func TestDamagesAfterKill(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, "-nodes"), func(t *testing.T) {
			r := referenceOf(t, nodes)
			plan := r.afterKill(t, r.nodes[0], int64(max(*flips/20, 10)))
			if *flips == 0 && nodes > 1 {
				plan = thin(plan, 30)
			}
			campaign(t, fmt.Sprint("killed-", nodes), len(plan), func(t *testing.T, i int) []finding {
				return []finding{r.finding(t, r.nodes[0], plan[i])}
			})
		})
	}
}

// TestReplay tries one damage again.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("tries the one damage that -replay names, and it names none")
	}
	nodes, node, d := parseReplay(t, *replay)
	f := referenceOf(t, nodes).finding(t, node, d)
	t.Logf("%s: %s", f.row, f.outcome)
	if f.problem != "" {
		t.Error(f.problem)
	}
}

// parseReplay reads NODES:NODE:DAMAGE.
func parseReplay(t *testing.T, text string) (nodes int, node ra.NodeID, d damage) {
	t.Helper()
	part := strings.SplitN(text, ":", 3)
	if len(part) != 3 {
		t.Fatal("-replay is to be NODES:NODE:DAMAGE")
	}
	nodes, err := strconv.Atoi(part[0])
	if err != nil {
		t.Fatal(err)
	}
	if d, err = parseDamage(part[2]); err != nil {
		t.Fatal(err)
	}
	return nodes, ra.NodeID(part[1]), d
}

// thin keeps a part of a plan, spread over all of it.
func thin(plan []damage, count int) []damage {
	var out []damage
	for _, i := range sample(int64(len(plan)), int64(count), 2) {
		out = append(out, plan[i])
	}
	return out
}

// finding tries a damage and puts it into the table.
func (r *reference) finding(t *testing.T, node ra.NodeID, d damage) finding {
	t.Helper()
	v := r.try(t, node, d, d.At%4 == 0)
	if d.How == "flip" {
		owner := clusterOf(ownerAt(owners(t, r.disks[node], d.File), d.At/8))
		for _, cluster := range v.hurt {
			switch {
			case len(r.nodes) > 1:
				v.problems = append(v.problems, fmt.Sprintf("the member of %s was not repaired", cluster))
			case cluster != owner:
				v.problems = append(v.problems, fmt.Sprintf("it is a byte of %q, and costs %q", owner, cluster))
			}
		}
	}
	v.problems = append(v.problems, r.bystanders(t, node, d, v.hurt)...)
	f := finding{row: d.How + ", " + kind(d.File, newestWAL(list(t, r.disks[node]))), outcome: v.outcome}
	if d.Killed {
		f.row += " of a killed node"
	}
	if len(v.problems) > 0 {
		f.outcome = wrong
		f.problem = fmt.Sprintf("%s\n%s\nrepeat it with: go test ./system/damagetest -run TestReplay -v -campaign %s -replay '%d:%s:%s'",
			d, strings.Join(v.problems, "\n"), r.keep(t), len(r.nodes), node, d)
	}
	return f
}

// bystanders returns what is wrong if somebody is hurt who had nothing in a segment file, as the roster tells, or by damage of the
// roster alone.
func (r *reference) bystanders(t *testing.T, node ra.NodeID, d damage, hurt []string) (problems []string) {
	files := []string{d.File}
	switch k := kind(d.File, ""); {
	case k != "roster" && k != "segment", d.How == "old", d.How == "copy": // a file more that cannot be read may have been anybody's
		return nil
	case d.How == "swap" && (k == "roster" || kind(d.Other, "") != k):
		return nil
	case d.How == "swap":
		files = append(files, d.Other)
	}
	var all []extent
	for _, name := range files {
		all = append(all, owners(t, r.disks[node], name)...)
	}
	for _, cluster := range hurt {
		if !slices.ContainsFunc(all, func(e extent) bool { return clusterOf(e.uid) == cluster }) {
			problems = append(problems, fmt.Sprintf("%s has nothing in %s, and is hurt", cluster, d.File))
		}
	}
	return problems
}

// clusterOf returns the name of the cluster whose member has a uid: the reference names no two alike.
func clusterOf(uid ra.UID) string {
	if len(uid) <= 12 {
		return ""
	}
	return strings.ToLower(string(uid[:len(uid)-12]))
}

// flips returns count flips, half of them spread over all bits, the other half over the kinds of files. Of small files
// that may be every bit; the rest then falls to the others.
func (r *reference) flips(t *testing.T, node ra.NodeID, count int) []damage {
	disk := r.disks[node]
	names := list(t, disk)
	newest := newestWAL(names)
	bits, kinds, total := make([]int64, len(names)), make(map[string]int64), int64(0)
	for k, name := range names {
		bits[k] = 8 * int64(len(read(t, disk, name)))
		total += bits[k]
		kinds[kind(name, newest)]++
	}
	var out []damage
	add := func(k int, bit int64) { out = append(out, damage{How: "flip", File: names[k], At: bit}) }
	half := int64(count) / 2
	for k, name := range names {
		n := half*bits[k]/total + half/int64(len(kinds))/kinds[kind(name, newest)]
		for _, bit := range sample(bits[k], n, int64(k)) {
			add(k, bit)
		}
	}
	for _, bit := range sample(total, int64(count-len(out)), 7) {
		k := 0
		for ; bit >= bits[k]; k++ {
			bit -= bits[k]
		}
		add(k, bit)
	}
	rng := rand.New(rand.NewPCG(uint64(count), 6))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// damages returns the other damages.
func (r *reference) damages(t *testing.T, node ra.NodeID) []damage {
	disk := r.disks[node]
	names := slices.DeleteFunc(list(t, disk), func(n string) bool { return strings.Contains(n, "quarantine/") })
	newest := newestWAL(names)
	var out []damage
	last := make(map[string]string) // the file before of that kind
	for _, name := range names {
		size := int64(len(read(t, disk, name)))
		out = append(out, damage{How: "remove", File: name})
		for _, n := range append([]int64{0, 1, min(512, size-1), min(4096, size-1), size / 2, size - 1}, sample(size, 4, size)...) {
			out = append(out, damage{How: "cut", File: name, At: n})
		}
		for _, n := range sample((size+sector-1)/sector, 12, size+1) {
			out = append(out, damage{How: "zero", File: name, At: n}, damage{How: "garble", File: name, At: n})
		}
		if before := last[kind(name, newest)]; before != "" {
			out = append(out, damage{How: "swap", File: before, Other: name})
		}
		last[kind(name, newest)] = name
		for _, other := range copies(name) {
			if other != name {
				out = append(out, damage{How: "copy", File: name, Other: other})
			}
		}
	}
	out = append(out, votes(t, disk)...)
	out = append(out, r.setBack(t, node)...)
	for i, a := range names { // files of different kinds in each other's place
		if b := names[(i*7+3)%len(names)]; kind(a, newest) != kind(b, newest) {
			out = append(out, damage{How: "swap", File: a, Other: b})
		}
	}
	for _, name := range list(t, r.older[node]) {
		if !strings.Contains(name, "quarantine/") {
			out = append(out, damage{How: "old", File: name})
		}
	}
	for i, name := range names { // each snapshot as that of every other
		for _, other := range names[i+1:] {
			if filepath.Ext(name) == ".snap" && filepath.Ext(other) == ".snap" {
				out = append(out, damage{How: "copy", File: name, Other: other}, damage{How: "copy", File: other, Other: name})
			}
		}
	}
	return out
}

// clonedKinds are the files by which two copies of a log that went on each in its own way are told apart.
var clonedKinds = []string{"file", "mark", "states"}

// cloned returns the names of such files, of a node or of its copy: of the newest WAL file, and so on.
func (r *reference) cloned(t testing.TB, node ra.NodeID, kinds string) (out []string) {
	for _, k := range strings.Split(kinds, "+") {
		switch k {
		case "file":
			out = append(out, newestWAL(list(t, r.disks[node])))
		case "mark":
			out = append(out, highWater)
		case "states":
			for _, disk := range []*vfs.Mem{r.disks[node], r.clones[node]} {
				out = append(out, slices.DeleteFunc(inDir(t, disk, "wal"), func(n string) bool { return path.Ext(n) != ".state" })...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// setBack returns the damages that make the log what it once was: the newest file at each batch, or everything; those that bring
// what is that of a copy of the node; and those that bring what is another node's.
func (r *reference) setBack(t *testing.T, node ra.NodeID) []damage {
	newest := newestWAL(list(t, r.disks[node]))
	out := []damage{{How: "all-old", File: "wal"}}
	for _, off := range batches(read(t, r.disks[node], newest)) {
		out = append(out, damage{How: "earlier", File: newest, At: int64(off)})
	}
	for parts := 1; parts < 1<<len(clonedKinds); parts++ {
		var kinds []string
		for i, k := range clonedKinds {
			if parts&(1<<i) != 0 {
				kinds = append(kinds, k)
			}
		}
		out = append(out, damage{How: "clone", File: newest, Other: strings.Join(kinds, "+")})
	}
	for _, other := range r.nodes {
		if other != node {
			out = append(out, damage{How: "theirs", File: highWater, Other: string(other)}, damage{How: "theirs", File: roster, Other: string(other)})
			if other := string(other); newest == newestWAL(list(t, r.disks[ra.NodeID(other)])) {
				out = append(out, damage{How: "theirs", File: newest, Other: other})
			}
		}
	}
	return out
}

// afterKill returns the damages of what a killed node wrote last: to each sector of the newest batches, the file cut at each, the file
// as it was before each batch, and some bits of the last batch and of the mark.
func (r *reference) afterKill(t *testing.T, node ra.NodeID, bits int64) (out []damage) {
	disk := r.killed[node]
	newest := newestWAL(list(t, disk))
	b := read(t, disk, newest)
	ends := append(batches(b), used(b))
	add := func(how, file string, at int64) {
		out = append(out, damage{Killed: true, How: how, File: file, At: at})
	}
	for i, off := range ends[:len(ends)-1] {
		add("earlier", newest, int64(off))
		if i+8 < len(ends) {
			continue
		}
		for at := off / sector; at < ends[i+1]/sector; at++ {
			add("zero", newest, int64(at))
			add("garble", newest, int64(at))
			add("cut", newest, int64(at)*sector)
		}
	}
	last := int64(ends[len(ends)-2])
	for _, bit := range sample(8*(int64(used(b))-last), bits, 5) {
		add("flip", newest, 8*last+bit)
	}
	for _, bit := range sample(8*int64(len(read(t, disk, highWater))), bits, 6) {
		add("flip", highWater, bit)
	}
	return out
}

// used returns where the last batch of a WAL file ends.
func used(b []byte) int {
	all := batches(b)
	last := all[len(all)-1]
	return last + int(binary.LittleEndian.Uint64(b[last+24:]))
}

// votes returns the damages that take both copies of a vote: both tables of a batch, or both state files.
func votes(t *testing.T, disk *vfs.Mem) (out []damage) {
	var state string
	for _, name := range list(t, disk) {
		switch b := read(t, disk, name); path.Ext(name) {
		case ".wal":
			for _, off := range batches(b) {
				if one, other := tablesAt(b, int64(off)); one != other {
					out = append(out, damage{How: "tables", File: name, At: int64(off)})
				}
			}
		case ".state":
			if state != "" {
				out = append(out, damage{How: "both", File: state, At: int64(len(b) / 2), Other: name})
			}
			state = name
		}
	}
	return out
}

// copies returns names under which a copy of a file could be taken for something that counts.
func copies(name string) []string {
	dir, base := path.Split(name)
	switch path.Ext(name) {
	case ".wal", ".spare", ".state", ".seg":
		n, err := strconv.Atoi(strings.TrimSuffix(base, path.Ext(base)))
		if err != nil {
			return nil
		}
		ext := path.Ext(base)
		return []string{fmt.Sprintf("%s%016d%s", dir, n+1, ext), fmt.Sprintf("%s%016d%s", dir, n+1000, ext), fmt.Sprintf("%s%d%s", dir, n, ext)}
	case ".pack":
		n, err := strconv.ParseUint(strings.TrimSuffix(base, ".pack"), 16, 64)
		if err != nil {
			return nil
		}
		return []string{fmt.Sprintf("%s%016X.pack", dir, n+1), fmt.Sprintf("%s%016X.pack", dir, n+1000), fmt.Sprintf("%s%d.pack", dir, n)}
	case ".snap", ".ckpt":
		part := strings.Split(base, ".")
		return []string{
			dir + part[0] + ".00000000000000FF." + part[2] + ".snap", dir + part[0] + ".0000000000000001." + part[2] + ".ckpt",
			dir + "NOBODY." + part[1] + "." + part[2] + ".snap", dir + part[0] + "." + part[1] + "." + part[2] + ".snap",
			dir + part[0] + "." + part[1] + "." + part[2] + ".ckpt",
		}
	}
	return []string{dir + "copy-of-" + base}
}

// TestOldFindings repeats the damages that once went wrong: two clusters took each other's snapshots, which were of the same
// index and term; a member was forgotten because its registration stood in state files only, and these had changed
// places; and callers of a member whose entries could not be read were told that it was stopped.
func TestOldFindings(t *testing.T) {
	r := referenceOf(t, 1)
	byKind := make(map[string][]string)
	for _, name := range list(t, r.disks["n1"]) {
		k := kind(name, "")
		byKind[k] = append(byKind[k], name)
	}
	var twins []string
	for _, name := range byKind["snapshot"] {
		if strings.Contains(name, "TWIN-") {
			twins = append(twins, name)
		}
	}
	states, segments := byKind["state file"], byKind["segment"]
	if len(twins) != 2 || len(states) != 2 || len(segments) == 0 {
		t.Fatalf("the reference has %q", byKind)
	}
	for _, d := range []damage{
		{How: "swap", File: twins[0], Other: twins[1]},
		{How: "copy", File: twins[0], Other: twins[1]},
		{How: "swap", File: states[0], Other: states[1]},
		{How: "flip", File: segments[len(segments)-1], At: 8 * (64 + 40)},
	} {
		if f := r.finding(t, "n1", d); f.problem != "" {
			t.Error(f.problem)
		}
	}
}
