package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestScrapes(t *testing.T) {
	asked := make(chan struct{}, 1)
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	defer metrics.Close()
	s := startScrapes(metrics.URL)
	<-asked
	if took, err := s.stop(); len(took) == 0 || err != nil {
		t.Errorf("%d scrapes were made: %v", len(took), err)
	}

	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	s = startScrapes(broken.URL)
	<-s.done
	if _, err := s.stop(); err == nil {
		t.Error("a scrape that failed is not an error")
	}
}
