// Package page is the status page of the admin listener: what the proxy does now, in plain
// sentences and small pictures, and buttons for what operators may do.
//
// The server renders all of the page, so it can be read without JavaScript. With JavaScript
// the page listens to /api/events, asks for itself again when something has happened, and
// changes what is different (assets/page.js).
//
// The path through it: the admin listener collects what a client may see (seen.go), and
// page.go writes it. view.go makes the words and figures of it: the state in one sentence
// (state.go), sentences for ends and handshakes (words.go, rows.go), pictures (picture.go,
// histogram.go), the lists (lists.go), and numbers for people (figures.go). page.html lays
// them out.
//
// The demo's page has the same design: it links the same style sheet (assets/style.css)
// and the same switch for light and dark (assets/theme.js).
package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
)

//go:embed page.html
var templates embed.FS

//go:embed assets
var assets embed.FS

var layout = template.Must(template.New("page.html").ParseFS(templates, "page.html"))

// policy lets the page load its own files and ask its own listener, and nothing else. The
// browser refuses to make markup of text for the page's scripts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Assets answers GET /assets/… with the files of the page.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file := path.Clean("/" + r.URL.Path)[1:]
		if path.Dir(file) != "assets" {
			http.NotFound(w, r)
			return
		}
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-cache") // another version of Holdfast has other files
		http.ServeFileFS(w, r, assets, file)
	})
}

// Write answers a request with the page.
func Write(w http.ResponseWriter, seen Seen) {
	var page bytes.Buffer
	if err := layout.Execute(&page, newView(seen)); err != nil {
		http.Error(w, "the status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	_, _ = w.Write(page.Bytes()) // an error means that the browser has left
}
