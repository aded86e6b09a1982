package chat

import (
	"container/list"
	"slices"
	"sync"
)

// contexts holds what prompts of the conversations in use will send, so that it need not be read from the store for each of them. It is for a store
// that this process alone holds: where others write as well, much of it would be stale.
//
// What it has is never more than a guess: Store.Begin refuses a turn whose conversation has another ContextVersion by then, and a refusal ahead of that is made
// of what the store says. As Begin and End raise it by one each, and nothing else does so in silence, the guess is right unless
// something was changed beside the turns; then it is dropped.
type contexts struct {
	mu sync.Mutex
	// bytes is about how much memory they take.
	bytes int
	byKey map[contextKey]*list.Element
	// recent holds *keptContext, the one that was used last in front.
	recent list.List
}

const (
	// contextShare is what part of the memory for all of them one may take.
	contextShare = 16
	// contextBytes and itemBytes are about what they take beside their texts, with what is held in memory along with them.
	contextBytes = 1 << 10
	itemBytes    = 768
)

type contextKey struct{ owner, conversation string }

// keptContext is what a prompt sends of a conversation. Its items do not change.
type keptContext struct {
	key          contextKey
	conversation Conversation
	items        []Item
	// whole: the conversation has no others in its context.
	whole bool
	// running is the response that was begun with it; it is not to be used until that has ended.
	running string
	bytes   int
}

// find returns what Store.Context would, where that is known.
func (c *contexts) find(owner, conversation string, n int) (Conversation, []Item, bool) {
	k, ok := c.use(contextKey{owner, conversation})
	if !ok {
		return Conversation{}, nil, false
	}
	if n == 0 {
		return k.conversation, slices.Clone(k.items), k.whole
	}
	at, known := len(k.items), true
	items, err := Newest(n, min(n, len(k.items)), func(it *Item) (bool, error) {
		if at == 0 {
			known = k.whole
			return false, nil
		}
		at--
		*it = k.items[at]
		return true, nil
	})
	return k.conversation, items, err == nil && known
}

func (c *contexts) use(key contextKey) (keptContext, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return keptContext{}, false
	}
	c.recent.MoveToFront(e)
	k := e.Value.(*keptContext)
	return *k, k.running == ""
}

// begun is told of a turn that was begun with a context, in whose place what it sends now comes. Where n items were asked for and fewer came, there are no
// others. limit is how much memory all may take.
func (c *contexts) begun(t *Turn, history []Item, n, limit int) {
	k := &keptContext{key: contextKey{t.Response.Owner, t.Conversation.ID}, conversation: t.Conversation, running: t.Response.ID, bytes: contextBytes}
	k.conversation.ContextVersion++
	k.whole = n == 0 || len(history) < n
	k.items = make([]Item, 0, len(history)+len(t.Input)+2)
	k.add(history)
	k.add(t.Input)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remove(k.key); k.bytes > limit/contextShare {
		return
	}
	if c.byKey == nil {
		c.byKey = map[contextKey]*list.Element{}
	}
	c.byKey[k.key] = c.recent.PushFront(k)
	c.grow(k.bytes, limit)
}

// ended is told of a response that has ended, before anybody else is.
func (c *contexts) ended(r *Response, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := contextKey{r.Owner, r.ConversationID}
	e := c.byKey[key]
	if e == nil || e.Value.(*keptContext).running != r.ID {
		return
	}
	k := e.Value.(*keptContext)
	before := k.bytes
	k.add(r.Output)
	if r.Status != Completed || k.bytes > limit/contextShare {
		c.remove(key)
		return
	}
	k.running = ""
	k.conversation.ContextVersion++
	c.grow(k.bytes-before, limit)
}

// drop is told of a change beside the turns, or of a guess that was wrong.
func (c *contexts) drop(owner, conversation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(contextKey{owner, conversation})
}

// remove is drop with the lock held.
func (c *contexts) remove(key contextKey) {
	if e := c.byKey[key]; e != nil {
		delete(c.byKey, key)
		c.bytes -= c.recent.Remove(e).(*keptContext).bytes
	}
}

// grow counts bytes, and lets go of those contexts that were not used for longest. The lock is held.
func (c *contexts) grow(bytes, limit int) {
	for c.bytes += bytes; c.bytes > limit; {
		c.remove(c.recent.Back().Value.(*keptContext).key)
	}
}

// add adds items, with what Store.Context reads of them.
func (k *keptContext) add(items []Item) {
	for i := range items {
		it := &items[i]
		k.items = append(k.items, Item{
			ID: it.ID, ConversationID: it.ConversationID, Seq: it.Seq, Item: it.Item, ResponseID: it.ResponseID, Output: it.Output,
		})
		k.bytes += itemBytes + len(it.Content) + len(it.Data)
	}
}
