package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/command"
)

// writeCompletion writes the function that bash completes a command line with.
func writeCompletion(w io.Writer) error {
	var names []string
	var flags, values strings.Builder
	for _, page := range command.Pages() {
		names = append(names, page.Name)
		of := page.Flags()
		sorted := slices.Sorted(maps.Keys(of))
		if len(sorted) > 0 {
			fmt.Fprintf(&flags, "    %s) words='%s' ;;\n", page.Name, strings.Join(sorted, " "))
		}
		for _, flag := range sorted {
			if len(of[flag]) > 0 {
				fmt.Fprintf(&values, "    %s:%s) words='%s' ;;\n", page.Name, flag, strings.Join(of[flag], " "))
			}
		}
	}
	_, err := fmt.Fprintf(w, `# bash completion for holdfast
_holdfast() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=
  if ((COMP_CWORD == 1)); then
    words='%[1]s'
  else
    case $command in
%[2]s    help) ((COMP_CWORD == 2)) && words='%[1]s' ;;
    esac
    case $command:${COMP_WORDS[COMP_CWORD - 1]} in
%[3]s    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _holdfast holdfast
`, strings.Join(names, " "), flags.String(), values.String())
	return err
}
