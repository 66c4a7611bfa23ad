package config

import "strings"

// Nearest returns the candidate with the smallest edit distance from word. It returns ""
// if more than a third of the letters would be wrong. common is the prefix of all
// candidates; its letters do not count.
func Nearest(word, common string, candidates []string) string {
	best, least := "", len(strings.TrimPrefix(word, common))/3+1
	for _, candidate := range candidates {
		if d := editDistance(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance returns the Levenshtein distance: how many bytes must be inserted, deleted
// or changed to turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
