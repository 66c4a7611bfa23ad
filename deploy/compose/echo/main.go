// Command echo is a WebSocket service of the usual old kind: it sends each message back,
// answers pings, never sends one, and waits for its clients without a limit. It listens on
// port 9000.
package main

import (
	"log"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const address = ":9000"

func main() {
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(echo)))
}

// echo sends each message of a client back, until the client leaves.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		message, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		if err := wsutil.WriteServerMessage(conn, op, message); err != nil {
			return
		}
	}
}
