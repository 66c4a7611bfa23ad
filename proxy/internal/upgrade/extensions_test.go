package upgrade

import (
	"slices"
	"testing"

	"holdfast/proxy/internal/field"
)

func TestExtensionOffers(t *testing.T) {
	type list = []string
	tests := []struct {
		in   string
		want list // what is offered upstream
		ok   bool
	}{
		{"", nil, true},
		{" , ,", nil, true},
		{"permessage-deflate", list{"permessage-deflate"}, true},
		{"permessage-deflate; client_max_window_bits", list{"permessage-deflate; client_max_window_bits"}, true},
		{"a, permessage-deflate;client_max_window_bits=9 ,b", list{"permessage-deflate;client_max_window_bits=9"}, true},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate",
			list{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"}, true},
		{`permessage-deflate ; server_max_window_bits = "1\5" `, list{`permessage-deflate ; server_max_window_bits = "1\5"`}, true},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
			list{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}, true},

		// Well-formed, but nothing that RFC 7692 knows: not offered.
		{"permessage-bzip2", nil, true},
		{"Permessage-Deflate", nil, true},
		{"permessage-deflate; unknown", nil, true},
		{"permessage-deflate; Server_No_Context_Takeover", nil, true},
		{"permessage-deflate; server_no_context_takeover=1", nil, true},
		{"permessage-deflate; client_no_context_takeover=true", nil, true},
		{"permessage-deflate; server_max_window_bits", nil, true},
		{"permessage-deflate; server_max_window_bits=7", nil, true},
		{"permessage-deflate; server_max_window_bits=16", nil, true},
		{"permessage-deflate; server_max_window_bits=08", nil, true},
		{"permessage-deflate; client_max_window_bits=abc", nil, true},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", nil, true},
		{"permessage-deflate; server_max_window_bits=8; server_max_window_bits=8", nil, true},

		// No list of extensions at all.
		{";", nil, false},
		{"a;", nil, false},
		{"a; ;b", nil, false},
		{"a b", nil, false},
		{"a=b", nil, false},
		{"a; b=", nil, false},
		{"a; b==c", nil, false},
		{"a; b c", nil, false},
		{`a; b="c`, nil, false},
		{`a; b="c\"`, nil, false},
		{`a; b=""`, nil, false},
		{`a; b="c d"`, nil, false},
		{`a; b="c,d"`, nil, false},
		{`a; b="c\\d"`, nil, false},
		{`a; b="c"d`, nil, false},
		{`"a"`, nil, false},
		{"a; b=\xff", nil, false},
	}
	for _, tt := range tests {
		var got list
		wellFormed := true
		for e, ok := range extensions(field.Fields{{Name: field.SecWebSocketExtensions, Value: tt.in}}) {
			wellFormed = ok
			if ok && e.isOffer() {
				got = append(got, e.text)
			}
		}
		if wellFormed != tt.ok || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, well-formed %t; want %q, %t", tt.in, got, wellFormed, tt.want, tt.ok)
		}
	}
}
