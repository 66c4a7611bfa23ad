package admin

import (
	"bytes"
	"html/template"
	"net/http"
)

// servePage answers with a page for people.
func (cfg Config) servePage(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	if err := page.Execute(&text, cfg.status(r)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text.Bytes()) // an error means that the client has left
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Holdfast</title>
<h1>Holdfast {{.Version}}</h1>
<p>{{if .Draining}}It drains: it takes no new sessions, and ends those that it has.{{else if .Ready}}It takes new sessions.{{else}}No upstream works.{{end}}
Of {{.SessionsLimit}} sessions that there may be, {{.Sessions}} are open, and {{.Handshakes}} handshakes are under way.</p>
<h2>Upstreams</h2>
<ul>{{range .Upstreams}}
<li>{{.Upstream}} at {{.Address}}: {{.State}}, {{.Sessions}} sessions{{with .Reason}} ({{.}}){{end}}{{end}}
</ul>
<h2>More</h2>
<ul>
<li><a href="/">this page, as it is now</a>
<li><a href="/api/status">status</a>{{if .May.List}}
<li><a href="/api/sessions">sessions</a>
<li><a href="/api/ends">the last ends</a>
<li><a href="/api/configuration">configuration</a>{{end}}
<li><a href="/metrics">metrics</a>
</ul>
</html>
`))
