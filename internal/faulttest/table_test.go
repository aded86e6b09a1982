package faulttest

import (
	"strings"
	"time"
)

// row is a way in which a model's provider fails, and what a prompt must come to.
type row struct {
	id, name string
	// set sets the scene.
	set func(s *scene)
	// attempts are made. Where it is 0, one is.
	attempts int
	// whole and streamed are the answers to the two ways of asking.
	whole, streamed answer
	// firstByte and idle are the time limits, patience where they are 0.
	firstByte, idle time.Duration
	// lasts is the time limit that the fault runs into.
	lasts time.Duration
	// heals: the provider is well afterwards, and the next prompt goes to it.
	heals bool
}

// answer is what a prompt comes to.
type answer struct {
	// status is that of a whole answer; a stream is a 200 whatever comes in it.
	status int
	// code is empty for a success.
	code string
	// keeps: what had come of the text is kept.
	keeps keeping
}

type keeping int

const (
	nothing keeping = iota
	// all that was said before the fault.
	all
	// some of it at least: a reset may overtake what was sent before it.
	some
	// more than what was said: the fault is that there is no end to it.
	more
)

// What the codes are answered with.
var (
	failed    = answer{status: 502, code: "upstream_failed"}
	timedOut  = answer{status: 504, code: "upstream_timeout"}
	limited   = answer{status: 429, code: "upstream_rate_limited"}
	refused   = answer{status: 502, code: "upstream_auth"}
	rejected  = answer{status: 422, code: "upstream_rejected"}
	tooLong   = answer{status: 422, code: "context_length_exceeded"}
	unknown   = answer{status: 404, code: "model_not_found"}
	truncated = answer{status: 502, code: "upstream_stream_truncated"}
)

func (a answer) keeping(k keeping) answer { a.keeps = k; return a }

// short is a time limit that a test waits for. Until then the request must have arrived, also where many tests run.
const short = 2 * time.Second

// connecting is the time limit of connecting, names included, and that of TLS.
const connecting = 5 * time.Second

// says has the upstream answer by a file whatever the mode.
func says(name string) func(*scene) { return func(s *scene) { s.answers(s.file(name)) } }

// modes sets the scene by the mode.
func modes(whole, streamed func(*scene) string) func(*scene) {
	return func(s *scene) {
		if s.stream {
			s.answers(streamed(s))
		} else {
			s.answers(whole(s))
		}
	}
}

func file(name string) func(*scene) string { return func(s *scene) string { return s.file(name) } }

// then is a stream with a text, and what follows.
func then(rest string) func(*scene) string { return func(s *scene) string { return s.begun() + rest } }

// table is the fault matrix.
func table(names *nameServer) []row {
	return []row{
		{id: "F1", name: "its name is unknown", set: func(s *scene) { names.named(s, "unknown") }, attempts: 3, whole: failed, streamed: failed},
		{id: "F2", name: "no name server answers", set: func(s *scene) { names.named(s, "silent") }, whole: timedOut, streamed: timedOut, lasts: connecting},
		{id: "F3", name: "it refuses connections", set: closed, attempts: 3, whole: failed, streamed: failed},
		{id: "F4", name: "no connection comes about", set: blocked, whole: timedOut, streamed: timedOut, lasts: connecting},
		{id: "F5", name: "its certificate is not trusted", set: func(s *scene) { certified(s, "127.0.0.1", false) }, whole: failed, streamed: failed},
		{id: "F6", name: "its certificate is another host's", set: func(s *scene) { certified(s, "other.example", true) }, whole: failed, streamed: failed},
		{id: "F7", name: "TLS stalls", set: silentTLS, whole: timedOut, streamed: timedOut, lasts: connecting},
		{id: "F8", name: "it resets before the head", set: says("reset"), attempts: 3, whole: failed, streamed: failed, heals: true},
		{id: "F8", name: "it closes before the head", set: says("no-answer"), attempts: 3, whole: failed, streamed: failed, heals: true},
		{id: "F8", name: "it answers what is not HTTP", set: says("garbage"), whole: failed, streamed: failed, heals: true},
		{id: "F9", name: "no head comes", set: says("no-headers"), whole: timedOut, streamed: timedOut, firstByte: short, lasts: short},
		{id: "F9", name: "no body comes", set: modes(file("whole-no-body"), file("stream-no-body")), whole: timedOut, streamed: timedOut, firstByte: short, lasts: short},
		{id: "F10", name: "the head drips", set: says("headers-drip"), whole: timedOut, streamed: timedOut, firstByte: short, lasts: short},
		{id: "F11", name: "400", set: says("400"), whole: rejected, streamed: rejected, heals: true},
		{id: "F12", name: "401", set: says("401"), whole: refused, streamed: refused, heals: true},
		{id: "F12", name: "403", set: says("403"), whole: refused, streamed: refused, heals: true},
		{id: "F13", name: "404", set: says("404"), whole: unknown, streamed: unknown, heals: true},
		{id: "F14", name: "408", set: says("408"), attempts: 3, whole: timedOut, streamed: timedOut, heals: true},
		{id: "F15", name: "413", set: says("413"), whole: tooLong, streamed: tooLong, heals: true},
		{id: "F15", name: "the prompt is too long", set: says("context-length"), whole: tooLong, streamed: tooLong, heals: true},
		{id: "F16", name: "429, to come again soon", set: again("Retry-After-Ms: 50"), attempts: 3, whole: limited, streamed: limited, heals: true},
		{id: "F16", name: "429, to come again late", set: again("Retry-After: 31"), whole: limited, streamed: limited, heals: true},
		{id: "F17", name: "429, the quota is used up", set: says("quota"), whole: limited, streamed: limited, heals: true},
		{id: "F18", name: "500", set: says("500"), attempts: 3, whole: failed, streamed: failed, heals: true},
		{id: "F19", name: "503 with a page", set: page, attempts: 3, whole: failed, streamed: failed, heals: true},
		{id: "F20", name: "529", set: says("529"), attempts: 3, whole: failed, streamed: failed, heals: true},
		{id: "F21", name: "200 with a page", set: says("not-json"), whole: failed, streamed: failed, heals: true},
		{id: "F22", name: "200 of another shape", set: says("wrong-shape"), whole: failed, streamed: failed, heals: true},
		{id: "F23", name: "the body is shorter than its length", set: modes(file("whole-short"), shortStream), whole: failed, streamed: truncated.keeping(all), heals: true},
		{id: "F24", name: "a clean end without the end marker", set: modes(unfinished, then("")), whole: failed, streamed: truncated.keeping(all), heals: true},
		{id: "F24", name: "the end of the connection without the end marker", set: modes(file("whole-short"), then("%% close")), whole: failed, streamed: truncated.keeping(all), heals: true},
		{id: "F25", name: "a reset in the middle", set: modes(file("whole-reset"), then("%% reset")), whole: failed, streamed: truncated.keeping(some), heals: true},
		{id: "F26", name: "silence in the middle", set: modes(file("whole-stall"), then("%% stall")), whole: timedOut, streamed: timedOut.keeping(all), idle: short, lasts: short},
		{id: "F27", name: "a malformed chunk", set: modes(chunk, then("%% raw\nno length\r\nat all\r\n%% close")), whole: failed, streamed: truncated.keeping(all), heals: true},
		{id: "F27", name: "a malformed event", set: modes(notJSON, then("data: {\"choices\":[{\"CANARY-sk-1234567890\n\n")), whole: failed, streamed: failed.keeping(all), heals: true},
		{id: "F28", name: "an error in the answer", set: modes(file("error-as-200"), then("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"message\":\"CANARY-sk-1234567890\"}}\n\n")), whole: failed, streamed: failed.keeping(all), heals: true},
		{id: "F29", name: "more behind the end", set: modes(twice, behind), whole: failed, streamed: answer{status: 200, keeps: all}, heals: true},
		{id: "F29", name: "what comes out of order", set: modes(twice, stray), whole: failed, streamed: failed.keeping(all), heals: true},
		{id: "F30", name: "no end", set: modes(endless, endlessStream), whole: failed, streamed: failed.keeping(more), heals: true},
		{id: "F30", name: "a line without end", set: modes(endless, then("data: \n%% fill 2MiB")), whole: failed, streamed: failed.keeping(all), heals: true},
		{id: "F31", name: "a compressed bomb", set: modes(bomb("application/json"), bomb("text/event-stream")), whole: failed, streamed: failed, heals: true},
		{id: "F32", name: "a redirect", set: redirect("302 Found"), whole: failed, streamed: failed, heals: true},
		{id: "F32", name: "a redirect that keeps the method", set: redirect("307 Temporary Redirect"), whole: failed, streamed: failed, heals: true},
	}
}

func closed(s *scene) {
	s.upstream.Close()
	s.fired = func() int { return int(s.dials.Load()) }
}

func again(header string) func(*scene) {
	return func(s *scene) { s.answers(strings.Replace(s.file("429"), "Retry-After: 7", header, 1)) }
}

// page does not ask to wait for two seconds.
func page(s *scene) { s.answers(strings.Replace(s.file("503"), "Retry-After: ", "X-Retry-After: ", 1)) }

func redirect(status string) func(*scene) {
	return func(s *scene) { s.answers(strings.Replace(s.file("redirect"), "302 Found", status, 1)) }
}

func unfinished(s *scene) string { return s.protocol.unfinished }

// twice is an answer with another one behind it.
func twice(s *scene) string {
	return s.protocol.answer + s.protocol.answer[strings.Index(s.protocol.answer, "{"):]
}

func behind(s *scene) string {
	return s.begun() + s.protocol.end + s.protocol.behind
}

func stray(s *scene) string { return s.begun() + s.protocol.stray + s.protocol.end }

func shortStream(s *scene) string {
	return strings.Replace(s.begun(), "Transfer-Encoding: chunked", "Content-Length: 1000000", 1) + "%% close"
}

func chunk(s *scene) string {
	return "HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n{\n\n%% raw\nno length\r\nat all\r\n%% close"
}

func notJSON(s *scene) string {
	return strings.Replace(s.protocol.answer, `"I am well."`, "CANARY-sk-1234567890", 1)
}

func endless(s *scene) string {
	return "HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n" + `{"model":"` + "\n%% fill 65MiB"
}

// endlessStream has no end but the cap of an answer, which its pieces, filled up by a comment, come to soon.
func endlessStream(s *scene) string {
	begun := s.begun()
	return begun + "%% repeat 0s\n: " + strings.Repeat("x", 60<<10) + "\n" + s.piece("more ")
}

// bomb unpacks to small lines, so that it is their sum that is too much.
func bomb(media string) func(*scene) string {
	return func(*scene) string {
		return "HTTP/1.1 200 OK\nContent-Type: " + media + "\nContent-Encoding: gzip\nTransfer-Encoding: chunked\n\n%% bomb 65MiB"
	}
}
