package field

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Fields{
		"A=":                         {{"A", ""}},
		"Authorization=Basic dTpw=":  {{"Authorization", "Basic dTpw="}},
		" X-One = 1, 2 ;\nX_Two=\tü": {{"X-One", "1, 2"}, {"X_Two", "ü"}},
		"X-Forwarded-Port=443":       {{"X-Forwarded-Port", "443"}},
	} {
		if got, err := Parse(text); !slices.Equal(got, want) || err != nil {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

// Nothing that the table reserves can be set, under whatever spelling. The error names
// the field as the table does, and shows no value.
func TestReservedFieldsCannotBeSet(t *testing.T) {
	for _, r := range slices.Concat(names[:], families[:]) {
		name := r.name
		if strings.HasSuffix(name, "-") {
			name += "Key"
		}
		for _, spelled := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
			_, err := Parse(spelled + "=s3cret")
			switch reserved := r.properties.Has(Reserved); {
			case (err != nil) != reserved:
				t.Errorf("%s is reserved: %t, but: %v", spelled, reserved, err)
			case err != nil && (!strings.Contains(err.Error(), r.name) || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("%s: %v", spelled, err)
			}
		}
	}
}

func TestWrongFieldsAreToldByNumber(t *testing.T) {
	const text = "s3cret;A=1;host=s3cret;a=s3cret;B=s3\tcret;s3 cret=;expect=s3cret"
	const want = "has a field, number 1, that has no equals sign; write name=value;name=value, with no semicolon in a value\n" +
		"has a field, number 3, that is Host; set HOLDFAST_UPSTREAM_HOST instead\n" +
		"has fields of the same name, numbers 2 and 4; leave one out\n" +
		"has a field, number 5, that has a control character in its value; write one line of text\n" +
		"has a field, number 6, that has no valid name; use letters, digits and hyphens\n" +
		"has a field, number 7, that is Expect, which belongs to a single request; leave it out"
	if _, err := Parse(text); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
