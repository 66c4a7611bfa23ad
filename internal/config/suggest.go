package config

import (
	"slices"
	"strings"
)

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

// onOtherSides returns the variables whose names differ from name in the side alone: some
// exist for the clients, some for the upstream, some for both together.
func onOtherSides(name string) (meant []string) {
	const client, upstream = prefix + "CLIENT_", prefix + "UPSTREAM_"
	rest := name
	for _, side := range []string{client, upstream, prefix} {
		if bare, ok := strings.CutPrefix(name, side); ok {
			rest = bare
			break
		}
	}
	for _, side := range []string{prefix, client, upstream} {
		if slices.Contains(Names(), side+rest) {
			meant = append(meant, side+rest)
		}
	}
	return meant
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
