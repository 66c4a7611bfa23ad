package backend

import (
	"errors"
	"io"

	"holdfast/proxy/internal/upgrade"
)

// ErrHeadTooLarge is the error of an answer whose head is longer than it may be.
var ErrHeadTooLarge = errors.New("response head is larger than HOLDFAST_MAX_HEADER_SIZE")

// ReadAnswer reads the head of the final answer to a request, by the rules for sessions. No
// head, interim ones included, may be longer than limit. early is what came behind it. No
// error quotes what was read.
func ReadAnswer(from io.Reader, limit int) (answer *upgrade.Response, early []byte, err error) {
	var read []byte
	looked := 0 // how much of read has been searched for the head's end
	chunk := make([]byte, limit)
	for {
		end := upgrade.HeadEnd(read, looked)
		looked = len(read)
		if end > limit || end < 0 && len(read) > limit {
			return nil, nil, ErrHeadTooLarge
		}
		if end < 0 {
			n, err := from.Read(chunk)
			if err != nil && n == 0 {
				return nil, nil, err
			}
			read = append(read, chunk[:n]...)
			if err := upgrade.CheckStart(read); err != nil {
				return nil, nil, err
			}
			continue
		}
		answer, err := upgrade.ParseResponse(read[:end])
		if err != nil {
			return nil, nil, err
		}
		read, looked = read[end:], 0
		if !answer.Interim() {
			return answer, read, nil
		}
	}
}
