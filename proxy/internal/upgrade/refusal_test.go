package upgrade

import (
	"testing"

	"holdfast/proxy/internal/field"
)

func TestRefusalAppend(t *testing.T) {
	tests := []struct {
		refusal Refusal
		want    string
	}{
		{
			Refusal{Status: 503, Reason: "Too many sessions.", Header: field.Fields{{Name: "Retry-After", Value: "5"}}},
			"kept HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Length: 19\r\nConnection: close\r\n\r\nToo many sessions.\n",
		},
		{
			Refusal{Status: 426, Reason: "No.", Header: field.Fields{{Name: "Upgrade", Value: "websocket"}}},
			"kept HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Length: 4\r\nConnection: Upgrade, close\r\n\r\nNo.\n",
		},
	}
	for _, tt := range tests {
		if got := string(tt.refusal.Append([]byte("kept "))); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}
