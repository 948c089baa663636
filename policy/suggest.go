package policy

import (
	"fmt"
	"strings"
)

// suggest is the end of the sentence about an unknown key: the nearest valid
// one, or all of them when none is near.
func suggest(unknown string, valid []string) string {
	nearest, least := "", 0
	for _, key := range valid {
		if d := editDistance(unknown, key); nearest == "" || d < least {
			nearest, least = key, d
		}
	}
	// A third of the letters wrong is a slip of the hand; more is another word.
	if least*3 <= max(len(unknown), len(nearest))+2 {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	return "the keys here are " + strings.Join(valid, ", ")
}

// editDistance is the number of letters to insert, remove or replace to get
// from a to b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
