package reference

// node is the root of a balanced search tree (AVL) of rows by their keys, nil if it is empty. No node ever changes
// once it is made: a change makes new nodes from the row up to the root, and shares all others. So whoever has a root
// has the whole state of that moment, for as long as he likes.
//
// Invariants: keys grow from left to right; the heights of left and right differ by one at most; height and size count
// the nodes below and the node itself.
type node struct {
	row         Row
	left, right *node
	height      int
	size        int
}

func height(n *node) int {
	if n == nil {
		return 0
	}
	return n.height
}

func size(n *node) int {
	if n == nil {
		return 0
	}
	return n.size
}

// join makes a node of two trees whose heights differ by one at most.
func join(left *node, row Row, right *node) *node {
	return &node{
		row: row, left: left, right: right,
		height: 1 + max(height(left), height(right)),
		size:   1 + size(left) + size(right),
	}
}

// balance makes a node of two trees whose heights differ by two at most.
func balance(left *node, row Row, right *node) *node {
	switch height(left) - height(right) {
	case 2:
		if height(left.left) >= height(left.right) {
			return join(left.left, left.row, join(left.right, row, right))
		}
		mid := left.right
		return join(join(left.left, left.row, mid.left), mid.row, join(mid.right, row, right))
	case -2:
		if height(right.right) >= height(right.left) {
			return join(join(left, row, right.left), right.row, right.right)
		}
		mid := right.left
		return join(join(left, row, mid.left), mid.row, join(mid.right, right.row, right.right))
	}
	return join(left, row, right)
}

// put returns the tree with the row in it, in the place of one of the same key.
func put(n *node, row Row) *node {
	switch {
	case n == nil:
		return join(nil, row, nil)
	case row.Key < n.row.Key:
		return balance(put(n.left, row), n.row, n.right)
	case row.Key > n.row.Key:
		return balance(n.left, n.row, put(n.right, row))
	}
	return join(n.left, row, n.right)
}

// remove returns the tree without the key, which must be in it.
func remove(n *node, key string) *node {
	switch {
	case key < n.row.Key:
		return balance(remove(n.left, key), n.row, n.right)
	case key > n.row.Key:
		return balance(n.left, n.row, remove(n.right, key))
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	}
	next := n.right
	for next.left != nil {
		next = next.left
	}
	return balance(n.left, next.row, remove(n.right, next.row.Key))
}

// get returns the row of a key.
func get(n *node, key string) (Row, bool) {
	for n != nil {
		switch {
		case key < n.row.Key:
			n = n.left
		case key > n.row.Key:
			n = n.right
		default:
			return n.row, true
		}
	}
	return Row{}, false
}

// ascend yields the rows from the key on, in order, until yield returns false. It reports whether it came to the end.
func ascend(n *node, from string, yield func(Row) bool) bool {
	if n == nil {
		return true
	}
	if from < n.row.Key && !ascend(n.left, from, yield) {
		return false
	}
	if from <= n.row.Key && !yield(n.row) {
		return false
	}
	return ascend(n.right, from, yield)
}

// build returns the tree of rows that are in order.
func build(rows []Row) *node {
	if len(rows) == 0 {
		return nil
	}
	mid := len(rows) / 2
	return join(build(rows[:mid]), rows[mid], build(rows[mid+1:]))
}
