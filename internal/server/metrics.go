package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/parley-llm/parley/internal/chat"
)

// Metrics counts what the server and the core do. A nil one counts nothing. It is a chat.Observer.
//
// No label comes from a client or a provider without bounds: routes are patterns, models are not named.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	streams   prometheus.Gauge
	attempts  *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	responses *prometheus.CounterVec
	breakers  *prometheus.GaugeVec
	opened    *prometheus.CounterVec
	tokens    *prometheus.CounterVec
}

var _ chat.Observer = (*Metrics)(nil)

// NewMetrics makes the metrics in a registry of their own, with those of the Go runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_http_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_http_request_duration_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"route", "method"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parley_http_streams", Help: "Event streams that are open now.",
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_llm_attempts_total", Help: "Calls to providers that have ended; code is ok or why they failed.",
		}, []string{"provider", "code"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_llm_attempt_duration_seconds", Help: "How long calls to providers took.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900},
		}, []string{"provider"}),
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_responses_total", Help: "Responses that have ended, by how.",
		}, []string{"provider", "status"}),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parley_llm_breakers_open", Help: "Models that are held back now because their provider failed many times in a row.",
		}, []string{"provider"}),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_llm_breakers_opened_total", Help: "How often a model began to be held back.",
		}, []string{"provider"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_tokens_total", Help: "Tokens used, as providers reported them, or estimated where they did not.",
		}, []string{"provider", "direction"}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.streams, m.attempts, m.calls, m.responses, m.breakers, m.opened, m.tokens,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Attempt implements chat.Observer.
func (m *Metrics) Attempt(provider, code string, duration time.Duration) {
	if code == "" {
		code = "ok"
	}
	m.attempts.WithLabelValues(provider, code).Inc()
	m.calls.WithLabelValues(provider).Observe(duration.Seconds())
}

// Response implements chat.Observer.
func (m *Metrics) Response(r *chat.Response) {
	m.responses.WithLabelValues(r.Provider, string(r.Status)).Inc()
	if r.Usage != nil {
		m.tokens.WithLabelValues(r.Provider, "input").Add(float64(r.Usage.InputTokens))
		m.tokens.WithLabelValues(r.Provider, "output").Add(float64(r.Usage.OutputTokens))
	}
}

// Breaker is for breaker.Set's OnChange.
func (m *Metrics) Breaker(provider string, open bool) {
	if open {
		m.breakers.WithLabelValues(provider).Inc()
		m.opened.WithLabelValues(provider).Inc()
	} else {
		m.breakers.WithLabelValues(provider).Dec()
	}
}

func (m *Metrics) answered(route, method string, status int, duration time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route, method).Observe(duration.Seconds())
}

func (m *Metrics) streamBegan() {
	if m != nil {
		m.streams.Inc()
	}
}

func (m *Metrics) streamEnded() {
	if m != nil {
		m.streams.Dec()
	}
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
