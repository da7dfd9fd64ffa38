package raft

// majority returns how many of n voters make a quorum (ELE-08).
func majority(n int) int { return n/2 + 1 }

// agreed returns the highest value that a majority of the voters has reached. It sorts values, one for each voter, in
// place; there are few. No voters agree on nothing.
func agreed(values []uint64) uint64 {
	for i := 1; i < len(values); i++ {
		for k := i; k > 0 && values[k-1] < values[k]; k-- {
			values[k-1], values[k] = values[k], values[k-1]
		}
	}
	if len(values) == 0 {
		return 0
	}
	return values[majority(len(values))-1]
}
