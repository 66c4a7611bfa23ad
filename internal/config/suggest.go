package config

import "strings"

// Nearest returns the candidate that word was most likely meant to be. It returns "" if
// more than a third of the letters would be wrong. common is what all candidates begin
// with; its letters do not count.
func Nearest(word, common string, candidates []string) string {
	best, least := "", len(strings.TrimPrefix(word, common))/3+1
	for _, candidate := range candidates {
		if d := editDistance(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance: how many letters must be put in,
// taken out or changed to make b of a.
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
