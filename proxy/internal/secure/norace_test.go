//go:build !race

package secure

const withRace = false
