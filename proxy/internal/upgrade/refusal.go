package upgrade

import (
	"net/http"
	"strconv"

	"holdfast/proxy/internal/field"
)

// Refusal is an HTTP answer that ends a handshake before it reached the upstream.
type Refusal struct {
	Status int
	Reason string       // one sentence, for the body and the log; never a peer's words
	Header field.Fields // what the status asks for beyond the fields of every refusal
}

// Append appends the whole response.
func (r *Refusal) Append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\n"...)
	dst = r.Header.Append(dst)
	dst = field.Append(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = field.Append(dst, field.ContentLength, strconv.Itoa(len(r.Reason)+len("\n")))
	dst = field.Append(dst, field.Connection, r.connection())
	dst = append(dst, "\r\n"...)
	dst = append(dst, r.Reason...)
	return append(dst, '\n')
}

// connection: who sends Upgrade says so in Connection (RFC 9110 7.8); that
// takes nothing from close.
func (r *Refusal) connection() string {
	if r.Header.Count(field.Upgrade) > 0 {
		return "Upgrade, close"
	}
	return "close"
}

func refuse(status int, reason string, header ...field.Field) *Refusal {
	return &Refusal{Status: status, Reason: reason, Header: header}
}

func badRequest(reason string) *Refusal { return refuse(http.StatusBadRequest, reason) }
