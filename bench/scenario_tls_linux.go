package main

// The scenarios in which TLS makes a difference, with TLS between the clients and the
// proxy. The backend's side stays plain.
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

// overTLS returns a scenario whose clients connect to the proxy with TLS.
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

// tlsEchoes limits the echoes to small and large messages, which show the cost of encryption.
func tlsEchoes(p params) params {
	p.EchoSizes, p.EchoConns = []int{64, 16 << 10}, []int{64}
	return p
}
