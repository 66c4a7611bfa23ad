package upgrade

import (
	"net/http"
	"strconv"
)

// Refusal is an HTTP answer that ends a handshake before it reached the upstream.
type Refusal struct {
	Status int
	Reason string // one sentence, for the body and the log; never a peer's words
	Header Fields // what the status asks for beyond the fields of every refusal
}

// Append appends the whole response.
func (r *Refusal) Append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\n"...)
	for _, field := range r.Header {
		dst = appendField(dst, field.Name, field.Value)
	}
	dst = appendField(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = appendField(dst, "Content-Length", strconv.Itoa(len(r.Reason)+len("\n")))
	dst = appendField(dst, "Connection", r.connection())
	dst = append(dst, "\r\n"...)
	dst = append(dst, r.Reason...)
	return append(dst, '\n')
}

// connection: who sends Upgrade says so in Connection (RFC 9110 7.8); that
// takes nothing from close.
func (r *Refusal) connection() string {
	if r.Header.Count("Upgrade") > 0 {
		return "Upgrade, close"
	}
	return "close"
}

func refuse(status int, reason string, header ...Field) *Refusal {
	return &Refusal{Status: status, Reason: reason, Header: header}
}

func badRequest(reason string) *Refusal { return refuse(http.StatusBadRequest, reason) }

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
