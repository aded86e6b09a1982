package pii

// Entity is a kind of personal data or secret.
type Entity uint8

// The kinds that are found. Their names, and so the tags, are stable: audit records carry them.
const (
	Email Entity = iota
	Phone
	NRIC // Singapore's NRIC and FIN
	Card // credit and debit card numbers
	IBAN
	SSN // of the United States
	IP
	Postal
	Address
	APIKey // API keys, tokens, passwords, private keys

	// NumEntities is how many kinds there are.
	NumEntities = int(APIKey) + 1
)

const (
	tagOpen  = "[MASKED_"
	tagClose = "]"
)

var tags = [NumEntities]string{
	Email:   tagOpen + "EMAIL" + tagClose,
	Phone:   tagOpen + "PHONE" + tagClose,
	NRIC:    tagOpen + "NRIC" + tagClose,
	Card:    tagOpen + "CREDIT_CARD" + tagClose,
	IBAN:    tagOpen + "IBAN" + tagClose,
	SSN:     tagOpen + "SSN" + tagClose,
	IP:      tagOpen + "IP" + tagClose,
	Postal:  tagOpen + "POSTAL" + tagClose,
	Address: tagOpen + "ADDRESS" + tagClose,
	APIKey:  tagOpen + "API_KEY" + tagClose,
}

var byName = [NumEntities]Entity{Address, APIKey, Card, Email, IBAN, IP, NRIC, Phone, Postal, SSN}

// String is the entity's stable name, such as EMAIL or CREDIT_CARD.
func (e Entity) String() string {
	if int(e) >= NumEntities {
		return "UNKNOWN"
	}
	t := tags[e]
	return t[len(tagOpen) : len(t)-len(tagClose)]
}

// Tag is what is written in place of a value, such as [MASKED_EMAIL].
func (e Entity) Tag() string {
	if int(e) >= NumEntities {
		return tagOpen + "UNKNOWN" + tagClose
	}
	return tags[e]
}

// Counts is how many values of each entity were masked.
type Counts [NumEntities]int

// Each calls f for every entity that was masked at least once, sorted by name.
func (c Counts) Each(f func(e Entity, n int)) {
	for _, e := range byName {
		if n := c[e]; n > 0 {
			f(e, n)
		}
	}
}

// Add adds the counts of o.
func (c *Counts) Add(o *Counts) {
	for e, n := range o {
		c[e] += n
	}
}
