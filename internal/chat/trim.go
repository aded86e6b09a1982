package chat

import (
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// truncationDisabled is the setting by which a prompt that does not fit fails; otherwise the oldest turns are left out.
const truncationDisabled = "disabled"

// maxTrims bounds how often a prompt that a provider found too long is shortened and sent again.
const maxTrims = 3

// reservedShare is the part of a window that is kept free for the answer where nothing says how long it gets: a quarter.
const reservedShare = 4

// codeTooLong is the code of prompts that do not fit, also of those that a provider refuses.
const codeTooLong = "context_length_exceeded"

// prompt is what goes to a model, and how much of the history has been left out of it.
type prompt struct {
	endpoint llm.Endpoint
	info     llm.ModelInfo
	request  *llm.Request
	// history and input are what the request's items are made from.
	history, input []Item
	// dropped counts the items of the history that were left out to make the prompt fit.
	dropped int
}

func doesNotFit() *fault.Error {
	return fault.New(fault.Invalid, codeTooLong, "The prompt does not fit into the model's context. Shorten it, or take a model with a larger one.")
}

// fit leaves as many of the oldest turns out as the model's window demands. Where the window is not known, the provider
// will say.
func (s *Service) fit(p *prompt) error {
	most, room := p.most(), p.room()
	if s.Catalog != nil {
		s.Catalog.Ask(p.endpoint, p.request.Model, most)
	}
	if p.info.ContextWindow == 0 || s.CountTokens == nil || most <= room {
		return nil
	}
	fixed := s.fixed(p, room)
	if fixed > room {
		return doesNotFit()
	}
	cut, fits := s.cut(p, room-fixed)
	switch {
	case fits && cut == 0:
		return nil
	case !fits || p.request.Params.Truncation == truncationDisabled:
		return doesNotFit()
	}
	p.drop(cut)
	return nil
}

// room is how many tokens a prompt may take: the window less what is reserved for the answer, which is never more than
// half of it.
func (p *prompt) room() int64 {
	window := p.info.ContextWindow
	reserved := p.info.MaxOutput
	if reserved == 0 {
		reserved = window / reservedShare
	}
	if n := p.request.Params.MaxOutputTokens; n != nil {
		reserved = *n
	}
	return window - min(reserved, window/2)
}

// most is more than the prompt can take, without counting.
func (p *prompt) most() int64 {
	r := p.request
	n := int64(overheadPerPrompt + overheadPerItem + len(r.Instructions) + len(r.Tools) + len(r.ToolChoice) + len(r.Params.ResponseFormat))
	for i := range r.Items {
		n += mostTokens(&r.Items[i])
	}
	return n
}

// fixed counts what cannot be left out: instructions, tools, the messages in the history that instruct, and the input. It
// may stop when there are more than most.
func (s *Service) fixed(p *prompt, most int64) int64 {
	n := s.fixedTokens(p.request, most)
	for i := range p.history {
		if it := &p.history[i]; instructs(it) && n <= most {
			n += s.itemTokens(&it.Item, most-n)
		}
	}
	for i := range p.input {
		if n <= most {
			n += s.itemTokens(&p.input[i].Item, most-n)
		}
	}
	return n
}

// cut is where the longest end of the history begins that takes no more than room, consists of whole turns, and holds the
// call of every output in it and in the input. Where there is none, because a call lies too far back, it is where the
// shortest such end begins, and fits is false.
func (s *Service) cut(p *prompt, room int64) (cut int, fits bool) {
	waiting := outputs{calls: map[string]bool{}, open: map[string]bool{}}
	for i := range p.history {
		waiting.know(&p.history[i])
	}
	for i := len(p.input) - 1; i >= 0; i-- {
		waiting.add(&p.input[i])
	}
	cut, found := len(p.history), len(waiting.open) == 0
	// notes: only messages of the user have come yet. Such an end is no turn that must not be split.
	notes := found
	var taken int64
	for i := len(p.history) - 1; i >= 0; i-- {
		it := &p.history[i]
		if taken <= room && !instructs(it) {
			taken += s.itemTokens(&it.Item, room-taken)
		}
		if taken > room && found {
			return cut, true
		}
		waiting.add(it)
		notes = notes && (says(it, llm.User) || instructs(it))
		if len(waiting.open) == 0 && (beginsTurn(p.history, i) || notes) {
			if taken > room {
				return i, false
			}
			cut, found = i, true
		}
	}
	return 0, taken <= room
}

// drop leaves the history ahead of cut out of the prompt, but for the messages that instruct.
func (p *prompt) drop(cut int) {
	kept := make([]Item, 0, len(p.history))
	for i := range p.history[:cut] {
		if it := &p.history[i]; instructs(it) {
			kept = append(kept, *it)
		}
	}
	p.dropped += cut - len(kept)
	p.history = append(kept, p.history[cut:]...)
	p.request.Items = promptItems(p.history, p.input)
}

// shorten makes a prompt shorter that a provider found too long, by what it said of its window, or by half of the history,
// and in the end by all of it. It reports whether there is now less to send.
func (s *Service) shorten(t *turn, refusal *llm.Error) bool {
	p := t.prompt
	if s.CountTokens == nil || p.request.Params.Truncation == truncationDisabled || len(p.history) == 0 {
		return false
	}
	t.trims++
	fixed := s.fixed(p, maxTokens)
	var history int64
	for i := range p.history {
		if it := &p.history[i]; !instructs(it) {
			history += s.itemTokens(&it.Item, maxTokens)
		}
	}
	room := history / 2
	if window := refusal.ContextWindow; window > 0 {
		if s.Catalog != nil {
			s.Catalog.Learn(p.endpoint, p.request.Model, window)
		}
		p.info.ContextWindow = window
		whole := p.room()
		if counted := refusal.PromptTokens; counted > 0 {
			// The provider's tokens are not ours: its room is taken in ours.
			whole = int64(float64(whole) * float64(fixed+history) / float64(counted))
		}
		if whole-fixed < history {
			room = max(whole-fixed, 0)
		}
	}
	if t.trims == maxTrims {
		room = 0
	}
	before := p.dropped
	cut, _ := s.cut(p, room)
	p.drop(cut)
	return p.dropped > before
}

func says(it *Item, role llm.Role) bool { return it.Type == llm.TypeMessage && it.Role == role }

// instructs reports whether an item is a standing instruction, which is never left out.
func instructs(it *Item) bool { return says(it, llm.System) || says(it, llm.Developer) }

// beginsTurn reports whether history[i] is the user's first message since the model, or a tool, has said something.
func beginsTurn(history []Item, i int) bool {
	if !says(&history[i], llm.User) {
		return false
	}
	for i--; i >= 0; i-- {
		if !instructs(&history[i]) {
			return !says(&history[i], llm.User)
		}
	}
	return true
}

// outputs are those of tools whose calls have not come yet, reading backwards. An output whose call is nowhere waits for none.
type outputs struct{ calls, open map[string]bool }

func (o *outputs) know(it *Item) {
	if it.Type == llm.TypeFunctionCall {
		o.calls[CallID(it.Data)] = true
	}
}

func (o *outputs) add(it *Item) {
	switch it.Type {
	case llm.TypeFunctionCall:
		delete(o.open, CallID(it.Data))
	case llm.TypeFunctionCallOutput:
		if id := CallID(it.Data); o.calls[id] {
			o.open[id] = true
		}
	}
}
