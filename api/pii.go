package api

// NewMask is a text in which personal data is to be found.
type NewMask struct {
	Text string `json:"text" doc:"The text. Nothing of it is stored or logged."`
}

// Masked is a text without its personal data, and what was found in it.
type Masked struct {
	Text     string    `json:"text" doc:"The text with a tag in the place of every finding, as the audit log would have it." example:"Write to [MASKED_EMAIL]."`
	Findings []Finding `json:"findings" doc:"In the order of the text, without overlaps."`
}

// Finding is one piece of personal data, by its place in the text that was sent. It never holds the value.
type Finding struct {
	Type    string   `json:"type" doc:"The kind of data; its tag is [MASKED_<type>]." example:"EMAIL"`
	Start   int      `json:"start" doc:"Where it begins, in Unicode code points from 0 (an index of a Python string)." example:"9"`
	End     int      `json:"end" doc:"Where it ends, exclusive." example:"29"`
	Score   float64  `json:"score" doc:"How sure it is, from 0 to 1." example:"0.95"`
	Rule    string   `json:"rule" doc:"What recognised it." example:"email"`
	Reasons []string `json:"reasons,omitempty" doc:"Only from analyze: what the score comes from." example:"[\"its shape\"]"`
}
