package field

import (
	"slices"
	"strings"
	"testing"
)

func TestFieldsAreFoundInAnyCase(t *testing.T) {
	f := Fields{{"X-A", "1"}, {"x-b", "2"}, {"x-a", "3"}}
	if got := f.Get("X-a"); got != "1" {
		t.Errorf("Get = %q, want the first", got)
	}
	if got := f.Get("X-C"); got != "" {
		t.Errorf("Get of an absent field = %q", got)
	}
	if got := f.Count("x-A"); got != 2 {
		t.Errorf("Count = %d, want 2", got)
	}
	if first, n := f.Single("X-A"); first != "1" || n != 2 {
		t.Errorf("Single = %q, %d", first, n)
	}
	if got := slices.Collect(f.Values("X-A")); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("Values = %q", got)
	}
	if !f.HasAlias("x_B") || f.HasAlias("X-C") {
		t.Error("an alias is not found, or a stranger is")
	}
}

func TestFieldsAreWrittenAsLines(t *testing.T) {
	var b strings.Builder
	n, err := Fields{{"A", "1"}, {"b", ""}}.WriteTo(&b)
	if want := "A: 1\r\nb: \r\n"; b.String() != want || n != int64(len(want)) || err != nil {
		t.Errorf("wrote %q, %d, %v; want %q", b.String(), n, err, want)
	}
}

func TestElementsOfASpreadList(t *testing.T) {
	f := Fields{{"L", " , a,,b\t, "}, {"M", "x"}, {"l", ""}, {"l", "c"}}
	if got := slices.Collect(f.Elements("L")); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("Elements = %q", got)
	}
	if !f.HasElement("L", "B") || f.HasElement("L", "x") {
		t.Error("an element is not found, or a stranger is")
	}
}

func TestListOfQuotedStrings(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  []string
		whole bool
	}{
		{[]string{`"a", "b,c"`, "", `,"\"d\\",`}, []string{"a", "b,c", `"d\`}, true},
		{[]string{`"a" "b"`}, nil, false},
		{[]string{`"a", b`, `"c"`}, []string{"a"}, false},
		{nil, nil, true},
	} {
		var got []string
		whole := true
		for element, ok := range List(slices.Values(tc.lines), CutQuoted) {
			if whole = ok; ok {
				got = append(got, element)
			}
		}
		if !slices.Equal(got, tc.want) || whole != tc.whole {
			t.Errorf("the list %q is %q, whole %t; want %q, %t", tc.lines, got, whole, tc.want, tc.whole)
		}
	}
}
