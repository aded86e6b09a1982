package api

// Health says whether the server serves, and what is wrong where it does not.
type Health struct {
	Status string           `json:"status" enum:"ok,unavailable"`
	Checks map[string]Check `json:"checks,omitempty" doc:"Each dependency by name."`
}

// Check is the state of one dependency.
type Check struct {
	Status string `json:"status" enum:"ok,unavailable"`
	Reason string `json:"reason,omitempty"`
}

// Version names the running program.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go" doc:"The Go release it was built with."`
}
