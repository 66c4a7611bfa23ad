// Command validate holds a JSON file against a JSON schema: validate FILE SCHEMA [OTHER...].
// The others are the schemas that SCHEMA refers to, so nothing is fetched.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/xeipuuv/gojsonschema"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: validate FILE SCHEMA [OTHER...]")
		os.Exit(2)
	}
	if err := validate(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s is valid by %s\n", filepath.Base(os.Args[1]), filepath.Base(os.Args[2]))
}

func validate(file, schema string, others []string) error {
	loader := gojsonschema.NewSchemaLoader()
	for _, other := range others {
		text, err := os.ReadFile(other)
		if err != nil {
			return err
		}
		if err := loader.AddSchemas(gojsonschema.NewBytesLoader(text)); err != nil {
			return fmt.Errorf("%s: %w", other, err)
		}
	}
	rules, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	compiled, err := loader.Compile(gojsonschema.NewBytesLoader(rules))
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	result, err := compiled.Validate(gojsonschema.NewBytesLoader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var wrong []error
	for _, w := range result.Errors() {
		wrong = append(wrong, fmt.Errorf("%s: %s", file, w))
	}
	return errors.Join(wrong...)
}
