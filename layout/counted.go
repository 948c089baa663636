package layout

import (
	"fmt"
	"regexp"
	"strconv"

	"ckptfs/layout/format"
)

// Ranks write one file each, and many say in the file's name of how many it is
// one: model_world_size_8_rank_3.pt, ckpt-7.data-00002-of-00004. Others write
// the number down in the metadata.

// counted is a set of files of which there must be a certain number.
type counted struct {
	name *regexp.Regexp // of the paths; the group "count" says how many there are
	// Where the names do not say it: the product of these scalars of a file.
	from    string // pattern
	factors []string
}

// lacking says in words which sets are not complete. scalars are those of the
// file that c takes the number from, nil when it is not there.
func (c counted) lacking(files []FileReport, scalars format.Scalars) []string {
	have, want := map[string]int64{}, map[string]int64{}
	var order []string
	for _, f := range files {
		at := c.name.FindStringSubmatchIndex(f.Path)
		if at == nil {
			continue
		}
		set, n := c.set(f.Path, at)
		if have[set]++; have[set] == 1 {
			order = append(order, set)
			want[set] = n
		}
	}
	if c.from != "" {
		n := c.product(scalars)
		for set := range want {
			want[set] = n
		}
	}
	var out []string
	for _, set := range order {
		if fewer := want[set] - have[set]; fewer > 0 {
			out = append(out, fmt.Sprintf("%d of %d files like %s", fewer, want[set], set))
		}
	}
	return out
}

// set is the path with * for the rank, and how many files are like it; at are
// the positions of a match.
func (c counted) set(path string, at []int) (set string, n int64) {
	set = path
	if i := c.name.SubexpIndex("rank"); i > 0 && at[2*i] >= 0 {
		set = path[:at[2*i]] + "*" + path[at[2*i+1]:]
	}
	if i := c.name.SubexpIndex("count"); i > 0 && at[2*i] >= 0 {
		n, _ = strconv.ParseInt(path[at[2*i]:at[2*i+1]], 10, 64) // digits only; too many are no count
	}
	return set, n
}

// product multiplies the factors that are there; 0 when none is.
func (c counted) product(scalars format.Scalars) int64 {
	product := int64(0)
	for _, key := range c.factors {
		v, _ := scalars.Get(key)
		n := integer(v)
		if n == nil || *n < 1 || *n > maxRanks {
			continue
		}
		product = max(product, 1) * *n
		if product > maxRanks {
			return 0
		}
	}
	return product
}

// maxRanks is more than anybody trains with: a number beyond it is damage.
const maxRanks = 1 << 20
