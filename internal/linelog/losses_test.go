package linelog

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a log that takes so many bytes and refuses the others, in the middle of a line
// if need be.
type disk struct {
	mu   sync.Mutex
	free int
	held bytes.Buffer
}

func (d *disk) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(d.free, len(b))
	d.free -= n
	d.held.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) makeRoom() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = 1 << 20
}

// read returns how many lines have come to the log whole, how many it says are lost, and
// how many are torn.
func (d *disk) read(t *testing.T) (written, lost, torn int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range bytes.Lines(d.held.Bytes()) {
		var l struct {
			Msg, Error string
			Lines      int
		}
		switch err := json.Unmarshal(line, &l); {
		case err != nil:
			torn++
		case l.Msg == "line":
			written++
		default:
			lost += l.Lines
			if l.Error != syscall.ENOSPC.Error() {
				t.Errorf("the log says %q, want the reason: %v", line, syscall.ENOSPC)
			}
		}
	}
	return written, lost, torn
}

// A log on a full disk loses lines. It says how many as soon as there is room, with or
// without a further line, and no line is glued to one that was torn.
func TestFullDisk(t *testing.T) {
	for _, free := range []int{0, 1, 30, 400, 401} {
		synctest.Test(t, func(t *testing.T) {
			d := &disk{free: free}
			log, lines := New(d, false, slog.LevelInfo)
			const logged = 30
			for range logged / 3 {
				for range 3 {
					log.Info("line", "payload", "of some length")
				}
				time.Sleep(gather)
				synctest.Wait()
			}
			d.makeRoom()
			time.Sleep(retry + gather)
			synctest.Wait()
			written, lost, torn := d.read(t)
			if written+lost != logged || uint64(lost) != lines.Lost() || torn > 1+free/100 {
				t.Errorf("room for %d: %d lines written, %d told lost and %d torn, of %d; %d are counted as lost", free, written, lost, torn, logged, lines.Lost())
			}
			log.Info("line")
			if err := lines.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if again, stillLost, _ := d.read(t); again != written+1 || stillLost != lost {
				t.Errorf("room for %d: after one more line %d are written and %d told lost, want %d and %d", free, again, stillLost, written+1, lost)
			}
		})
	}
}
