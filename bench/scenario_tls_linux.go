package main

// What TLS adds, in the scenarios where it shows. It ends at the proxy, the backend's
// side stays plain.
var (
	tlsIdleScenario      = overTLS(idleScenario)
	tlsSetupScenario     = overTLS(setupScenario)
	tlsBulkScenario      = overTLS(bulkScenario)
	tlsBlockedScenario   = overTLS(blockedScenario)
	tlsHandshakeScenario = overTLS(handshakeScenario)
	tlsPageScenario      = overTLS(pageScenario)
	tlsEchoScenario      = overTLS(scenario{
		name:    echoScenario.name,
		about:   echoScenario.about,
		figures: func(p params) []figure { return echoFigures(tlsEchoes(p)) },
		run:     func(c *client, p params) (map[string]float64, error) { return runEcho(c, tlsEchoes(p)) },
	})
)

// overTLS is a scenario whose clients speak TLS with the proxy.
func overTLS(s scenario) scenario {
	plain := s.figures
	s.name = "tls-" + s.name
	s.about += ", over TLS"
	s.tls = true
	s.figures = func(p params) []figure {
		figures := plain(p)
		for i := range figures {
			figures[i].Title = "TLS: " + figures[i].Title
		}
		return figures
	}
	return s
}

// tlsEchoes keep to what the cost of encryption shows in: small messages and large ones.
func tlsEchoes(p params) params {
	p.EchoSizes, p.EchoConns = []int{64, 16 << 10}, []int{64}
	return p
}
