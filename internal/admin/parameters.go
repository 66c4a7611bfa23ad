package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parameters returns the parameters of a request by name. The error names one that is not
// known, that comes twice or that is empty.
func parameters(r *http.Request, known ...string) (given map[string]string, err error) {
	all, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the parameters cannot be read: %w", err)
	}
	given = make(map[string]string, len(all))
	for name, values := range all {
		switch {
		case len(known) == 0:
			return nil, fmt.Errorf("%q is not a parameter; there are none here", name)
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("%q is not a parameter; those here are: %s", name, strings.Join(known, ", "))
		case len(values) > 1:
			return nil, fmt.Errorf("%s is there more than once", name)
		case values[0] == "":
			return nil, fmt.Errorf("%s is empty; leave it out, or give it a value", name)
		}
		given[name] = values[0]
	}
	return given, nil
}

// parseLimit returns the number that the parameter limit gives: def if there is none.
func parseLimit(given map[string]string, def, most int) (int, error) {
	text, set := given["limit"]
	if !set {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("limit=%q is not a number from 1 to %d", text, most)
	}
	return n, nil
}

// parseOneOf returns the value of a parameter, which must be one of some words: the first
// of them if there is none.
func parseOneOf[T ~string](given map[string]string, name string, words ...T) (T, error) {
	text, set := given[name]
	switch {
	case !set:
		return words[0], nil
	case !slices.Contains(words, T(text)):
		return "", fmt.Errorf("%s=%q is not one of %s", name, text, joined(words))
	}
	return T(text), nil
}

func joined[T ~string](words []T) string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}
