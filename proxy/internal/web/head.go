package web

import (
	"maps"
	"net/http"
	"slices"

	"holdfast/proxy/internal/field"
)

// fieldsOf are the field lines of a request as net/http understood it, spelled as its
// sender does, and sorted by net/http's names; lines of one name keep their order. net/http has put aside Host and
// Transfer-Encoding, which are brought back. Trailer stays aside: it means nothing
// without the body.
func fieldsOf(r *http.Request, as spelling) field.Fields {
	fields := make(field.Fields, 0, len(r.Header)+2)
	add := func(name, value string) {
		fields = append(fields, field.Field{Name: name, Value: value})
	}
	if r.Host != "" { // HTTP/1.0 may have none
		add(field.Host, r.Host)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			add(as.of(name), value)
		}
	}
	for _, coding := range r.TransferEncoding {
		add(field.TransferEncoding, coding)
	}
	return fields
}

// appendHead writes a request's head in canonical form. The target is as the
// client sent it.
func appendHead(dst []byte, r *http.Request, fields field.Fields) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.RequestURI...)
	dst = append(dst, ' ')
	dst = append(dst, r.Proto...)
	dst = append(dst, "\r\n"...)
	return append(fields.Append(dst), "\r\n"...)
}
