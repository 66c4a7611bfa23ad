//go:build e2e

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blackbox"
)

// A tab is a browser's only page. The test drives it by the DevTools protocol, over a pipe:
// one JSON object a message, and a zero byte behind each.
type tab struct {
	*blackbox.Process
	orders  *os.File
	session string // of the page, in the protocol

	mu       sync.Mutex
	last     int // number of the last order
	answers  map[int]chan devtools
	problems []string // errors that the page or the browser has reported
}

// devtools is an answer or an event.
type devtools struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// opensTab starts a browser with a blank page.
func opensTab(t *testing.T, flags ...string) *tab {
	t.Helper()
	cmd := browserCommand(t, append(flags, "--remote-debugging-pipe", "about:blank")...)
	itsOrders, orders, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	told, itsWords, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{itsOrders, itsWords} // descriptors 3 and 4
	b := &tab{orders: orders, answers: map[int]chan devtools{}}
	b.Process = start(t, "browser", cmd)
	itsOrders.Close()
	itsWords.Close()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		b.listen(told)
	}()
	t.Cleanup(func() {
		b.IsKilled()
		orders.Close()
		<-heard
		told.Close()
	})

	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.Until("the blank page is there", func() bool {
		b.commands("", "Target.getTargets", nil, &targets)
		return len(targets.TargetInfos) > 0
	})
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			b.commands("", "Target.attachToTarget", fields{"targetId": target.TargetID, "flatten": true}, &attached)
			b.session = attached.SessionID
		}
	}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.does(domain+".enable", nil)
	}
	return b
}

type fields map[string]any

func (b *tab) listen(from *os.File) {
	words := bufio.NewReader(from)
	for {
		message, err := words.ReadBytes(0)
		if err != nil {
			return
		}
		var m devtools
		if err := json.Unmarshal(message[:len(message)-1], &m); err != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			b.answers[m.ID] <- m
			delete(b.answers, m.ID)
		case isProblem(m):
			b.problems = append(b.problems, string(m.Params))
		}
		b.mu.Unlock()
	}
}

// isProblem reports whether an event is an error on the console.
func isProblem(m devtools) bool {
	var said struct {
		Type  string
		Entry struct{ Level string }
	}
	switch m.Method {
	case "Runtime.exceptionThrown":
		return true
	case "Runtime.consoleAPICalled", "Log.entryAdded":
		if err := json.Unmarshal(m.Params, &said); err != nil {
			return true
		}
		return said.Type == "error" || said.Type == "warning" || said.Entry.Level == "error" || said.Entry.Level == "warning"
	}
	return false
}

// commands sends an order and waits for its answer.
func (b *tab) commands(session, method string, params fields, result any) {
	b.T.Helper()
	answer := make(chan devtools, 1)
	b.mu.Lock()
	b.last++
	order := fields{"id": b.last, "method": method, "params": params}
	if params == nil {
		order["params"] = fields{}
	}
	if session != "" {
		order["sessionId"] = session
	}
	b.answers[b.last] = answer
	b.mu.Unlock()
	message, err := json.Marshal(order)
	if err != nil {
		b.T.Fatal(err)
	}
	if _, err := b.orders.Write(append(message, 0)); err != nil {
		b.T.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.T.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.T.Fatalf("%s: %v", method, err)
			}
		}
	case <-b.Ended:
		b.T.Fatalf("%s: the browser ended: %v", method, b.Err)
	case <-time.After(patience):
		b.T.Fatalf("%s is not answered", method)
	}
}

func (b *tab) does(method string, params fields) {
	b.T.Helper()
	b.commands(b.session, method, params, nil)
}

// says evaluates an expression in the page, and reads its value into value. It waits for a
// promise.
func (b *tab) says(expression string, value any) {
	b.T.Helper()
	var evaluated struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	b.commands(b.session, "Runtime.evaluate", fields{"expression": expression, "returnByValue": true, "awaitPromise": true}, &evaluated)
	if failed := evaluated.ExceptionDetails; failed != nil {
		b.T.Fatalf("%.200s: %s", expression, failed.Exception.Description)
	}
	if value != nil {
		if err := json.Unmarshal(evaluated.Result.Value, value); err != nil {
			b.T.Fatalf("%.200s: %s: %v", expression, evaluated.Result.Value, err)
		}
	}
}

// isSo evaluates a condition. While a page is being loaded, nothing is so.
func (b *tab) isSo(condition string) (so bool) {
	b.T.Helper()
	b.says("(() => { try { return Boolean("+condition+") } catch { return false } })()", &so)
	return so
}

// shows waits until a condition holds.
func (b *tab) shows(what, condition string) {
	b.T.Helper()
	b.Until(what, func() bool { return b.isSo(condition) })
}

// opens goes to an address, and waits for the page.
func (b *tab) opens(url string) {
	b.T.Helper()
	b.does("Page.navigate", fields{"url": url})
	b.shows("the page "+url, fmt.Sprintf("location.href === %q && document.readyState === 'complete'", url))
}

// presses hits a key. The keys that tests need are Enter, Tab and Escape.
func (b *tab) presses(key string) {
	b.T.Helper()
	codes := map[string]int{"Enter": 13, "Tab": 9, "Escape": 27}
	press := fields{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
	if key == "Enter" {
		press["text"] = "\r"
	}
	b.does("Input.dispatchKeyEvent", press)
	b.does("Input.dispatchKeyEvent", fields{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]})
}

// types writes a text where the focus is.
func (b *tab) types(text string) {
	b.T.Helper()
	b.does("Input.insertText", fields{"text": text})
}

// looks sets what the reader's system prefers, and the size of the window.
func (b *tab) looks(theme string, width, height int) {
	b.T.Helper()
	b.does("Emulation.setEmulatedMedia", fields{"features": []fields{
		{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"},
	}})
	b.does("Emulation.setDeviceMetricsOverride", fields{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
}

// draws writes the page's picture to a file: height pixels of it, or all if height is 0.
func (b *tab) draws(file string, height int) {
	b.T.Helper()
	var page struct{ Width, Height int }
	b.says("({width: innerWidth, height: document.documentElement.scrollHeight})", &page)
	if height == 0 {
		height = page.Height
	}
	var shot struct{ Data string }
	b.commands(b.session, "Page.captureScreenshot", fields{"captureBeyondViewport": true, "clip": fields{
		"x": 0, "y": 0, "width": page.Width, "height": height, "scale": 1,
	}}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.T.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		b.T.Fatal(err)
	}
}

// hasNoProblem wants nothing on the console, except what the test expects.
func (b *tab) hasNoProblem() {
	b.T.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, problem := range b.problems {
		b.T.Errorf("the browser reports %s", problem)
	}
	b.problems = nil
}
