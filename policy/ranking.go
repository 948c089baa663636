package policy

import "slices"

// ranking keeps slots of an Index in an order, the greatest last: on top. nil is
// an empty one.
type ranking struct{ slots []int }

// comparison says which of two slots is greater; two that differ never compare
// equal.
type comparison func(i, j int) int

func (r *ranking) empty() bool { return r == nil || len(r.slots) == 0 }

// top is the greatest, -1 for none.
func (r *ranking) top() int {
	if r.empty() {
		return -1
	}
	return r.slots[len(r.slots)-1]
}

func (r *ranking) add(slot int, compare comparison) {
	at, _ := slices.BinarySearchFunc(r.slots, slot, compare)
	r.slots = slices.Insert(r.slots, at, slot)
}

// remove takes a slot out, whose content is what it was added with.
func (r *ranking) remove(slot int, compare comparison) {
	if at, found := slices.BinarySearchFunc(r.slots, slot, compare); found {
		r.slots = slices.Delete(r.slots, at, at+1)
	}
}

// downwards lists the slots, the greatest first.
func (r *ranking) downwards() []int {
	list := slices.Clone(r.slots)
	slices.Reverse(list)
	return list
}

func rankingAt(all map[int64]*ranking, n int64) *ranking {
	if all[n] == nil {
		all[n] = new(ranking)
	}
	return all[n]
}

func numbersOf(all map[int64]*ranking) []int64 {
	numbers := make([]int64, 0, len(all))
	for n := range all {
		numbers = append(numbers, n)
	}
	return numbers
}

// tops maps every number to the slot on top.
func tops(all map[int64]*ranking) map[int64]int {
	index := make(map[int64]int, len(all))
	for n, r := range all {
		index[n] = r.top()
	}
	return index
}
