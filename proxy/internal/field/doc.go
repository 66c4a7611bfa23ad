// Package field knows the fields of HTTP heads: their grammar, how their names are
// compared, and what becomes of each of them here. It does not know requests or sessions,
// so every package that reads or writes a head can ask it.
//
//	table.go    one row for each name that the proxy treats in some way of its own
//	alias.go    which names are the same to CGI
//	grammar.go  tokens, values, quoted strings, the white space around them
//	list.go     comma-separated lists
//	field.go    the field lines of one head
//	parse.go    the fields that an operator adds
//
// The table is the only list of names that decides what passes. A reader asks for a
// property of a name, and has no list of its own: with two lists, a name that is added
// to one of them is a hole in the other.
package field
