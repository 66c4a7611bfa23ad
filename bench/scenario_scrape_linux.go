package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	scrapedBusy   = 64 // connections, each with one message under way
	scrapedSize   = 64 // bytes of their messages
	scrapedEvery  = time.Second
	scrapedLength = 10 // times params.Measure, so that there are some scrapes
)

var scrapeScenario = scenario{
	name:    "scrape",
	about:   "busy sessions among many idle ones, while the metrics are scraped once a second",
	figures: scrapeFigures,
	run:     runScrape,
}

// scrapeFigures returns figures that are not compared, because only Holdfast has metrics.
func scrapeFigures(p params) []figure {
	what := fmt.Sprintf("%s on %s, %s sessions in all", sizeName(scrapedSize), connections(scrapedBusy), grouped(p.Sessions))
	return []figure{
		{Key: "alone", Title: "round trip p99, " + what + ", no scrape", Unit: "µs", WallClock: true, NoRatio: true},
		{Key: "beside", Title: "the same, beside a scrape a second", Unit: "µs", WallClock: true, NoRatio: true},
		{Key: "took", Title: "how long a scrape takes meanwhile, median", Unit: "ms", WallClock: true, NoRatio: true},
	}
}

func runScrape(c *client, p params) (map[string]float64, error) {
	if c.metrics == "" {
		return nil, nil
	}
	p.Measure *= scrapedLength
	all, err := openEchoes(c, scrapedBusy, scrapedSize)
	if err != nil {
		return nil, err
	}
	if err := openIdle(c, p.Sessions-scrapedBusy, &fanOut{}); err != nil {
		return nil, err
	}
	alone, err := all.measure(c, p)
	if err != nil {
		return nil, err
	}
	s := startScrapes(c.metrics)
	beside, err := all.measure(c, p)
	took, scrapeErr := s.stop()
	if err := errors.Join(err, scrapeErr); err != nil {
		return nil, err
	}
	return map[string]float64{
		"alone":  alone.p99,
		"beside": beside.p99,
		"took":   float64(percentile(took, 0.5)) / millisecond,
	}, nil
}

// scrapes are under way until stop.
type scrapes struct {
	over, done chan struct{}
	took       []time.Duration // by the goroutine, until done
	err        error
}

func startScrapes(url string) *scrapes {
	s := &scrapes{over: make(chan struct{}), done: make(chan struct{})}
	go s.run(url)
	return s
}

// run scrapes at once, and then once in scrapedEvery.
func (s *scrapes) run(url string) {
	defer close(s.done)
	next := time.NewTicker(scrapedEvery)
	defer next.Stop()
	for {
		began := time.Now()
		if s.err = scrape(url); s.err != nil {
			return
		}
		s.took = append(s.took, time.Since(began))
		select {
		case <-s.over:
			return
		case <-next.C:
		}
	}
}

// stop waits for the end of a scrape that is under way. It returns how long each took.
func (s *scrapes) stop() ([]time.Duration, error) {
	close(s.over)
	<-s.done
	return s.took, s.err
}

// scrape reads the metrics and throws them away.
func scrape(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
