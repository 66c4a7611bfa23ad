package config

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"holdfast/internal/hostport"
)

const prefix = "HOLDFAST_"

// variable describes a field of Config, or the file that may hold a field's value.
type variable struct {
	name    string
	def     string // its value while it is unset or empty
	parent  string // the variable whose value it takes while it is unset or empty; "" if there is none
	meaning string // its description; words of the configuration are in backquotes
	hasFile bool   // another variable may name a file with the value
	secret  bool   // no output may show its value
	field   int    // the index of its field in Config; for a file, that of the field whose value it holds
}

// variables are all variables of this version, in the order of the fields of Config.
// They and their problems are shown in this order.
var variables = variablesOf(reflect.TypeFor[Config]())

// variablesOf reads the tags of a struct, which are described at Config.
func variablesOf(config reflect.Type) (all []variable) {
	for i := range config.NumField() {
		tag := config.Field(i).Tag
		name := tag.Get("env")
		fileMeaning, hasFile := tag.Lookup("file")
		_, secret := tag.Lookup("secret")
		all = append(all, variable{
			name:    name,
			def:     tag.Get("envDefault"),
			parent:  tag.Get("inherits"),
			meaning: quoteWords(tag.Get("meaning")),
			hasFile: hasFile,
			secret:  secret,
			field:   i,
		})
		if hasFile {
			all = append(all, variable{name: name + fileSuffix, meaning: quoteWords(fileMeaning), field: i})
		}
	}
	return all
}

// quoteWords replaces the braces of a meaning by backquotes. The tag cannot contain
// backquotes, because it is written between backquotes itself.
func quoteWords(meaning string) string {
	return strings.NewReplacer("{", "`", "}", "`").Replace(meaning)
}

// unsupported are names that are reserved for later versions. They are refused: with a
// setting that is silently ignored, users would rely on a feature that does not exist, for
// example on a limit.
var unsupported = []string{"HOLDFAST_TAKEOVER"}

// serviceLink matches the variables that Kubernetes sets in every container for a service
// whose name is holdfast, or begins with holdfast-:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = regexp.MustCompile(`^HOLDFAST(_[A-Z0-9_]+)?` +
	`(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// isServiceLink reports whether Kubernetes may have set a variable: its name and its value
// are of that form.
func isServiceLink(name, value string) bool {
	_, err := netip.ParseAddr(value)
	switch {
	case !serviceLink.MatchString(name):
		return false
	case value == "":
		return true
	case strings.HasSuffix(name, "_SERVICE_HOST"), strings.HasSuffix(name, "_ADDR"):
		return err == nil
	case strings.HasSuffix(name, "_PROTO"):
		return slices.Contains([]string{"tcp", "udp", "sctp"}, value)
	case strings.Contains(name, "_SERVICE_PORT"), linkedPort.MatchString(name):
		return hostport.IsPort(value)
	}
	scheme, _, hasScheme := strings.Cut(value, "://")
	return hasScheme && slices.Contains([]string{"tcp", "udp", "sctp"}, scheme)
}

// linkedPort matches the names of service links whose value is the number of a port.
var linkedPort = regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_PORT$`)

// variableNamed returns the variable with a name that is known to exist.
func variableNamed(name string) variable {
	return variables[slices.IndexFunc(variables, func(v variable) bool { return v.name == name })]
}

// variableOf returns the variable of a field of Config by the field's name.
func variableOf(field string) variable {
	f, _ := reflect.TypeFor[Config]().FieldByName(field)
	return variableNamed(f.Tag.Get("env"))
}

// nameOf returns the variable of a field of c, which field points to.
func (c *Config) nameOf(field any) string {
	fields := reflect.ValueOf(c).Elem()
	for _, v := range variables {
		if fields.Field(v.field).Addr().Interface() == field {
			return v.name
		}
	}
	panic("nameOf: not a field of Config")
}

// plain returns a meaning without its backquotes, for a terminal.
func plain(meaning string) string {
	return strings.ReplaceAll(meaning, "`", "")
}

// Names returns all names to suggest for a misspelt one. It includes those that are not
// supported.
func Names() []string {
	var names []string
	for _, v := range variables {
		names = append(names, v.name)
	}
	return append(names, unsupported...)
}
