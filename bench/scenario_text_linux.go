package main

// textEchoScenario has the echoes that Holdfast looks at if it has messages of applications to
// take or to answer.
var textEchoScenario = scenario{
	name:  "text-echo",
	about: echoScenario.about + "; all are text messages",
	figures: func(p params) []figure {
		figures := echoFigures(textEchoes(p))
		for i := range figures {
			figures[i].Title = "text messages: " + figures[i].Title
		}
		return figures
	},
	run: func(c *client, p params) (map[string]float64, error) { return runEchoOf(c, textEchoes(p), opText) },
}

// textEchoes limits the echoes to messages that are short enough for Holdfast to look at.
func textEchoes(p params) params {
	p.EchoSizes, p.EchoConns = []int{64, 1 << 10}, []int{1, 64}
	return p
}
