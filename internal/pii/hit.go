package pii

// hit is a finding while the scan is under way; it is made without allocating.
type hit struct {
	start, end int
	score      uint8 // percent
	entity     Entity
	rule       rule
	reasons    reason
}

// overlaps says whether the two share a byte.
func (h hit) overlaps(o hit) bool { return h.start < o.end && o.start < h.end }

// union covers both and carries the name of the stronger, or of the longer where both are as strong.
func (h hit) union(o hit) hit {
	u := h
	if o.score > h.score || o.score == h.score && o.end-o.start > h.end-h.start {
		u = o
	}
	u.start, u.end = min(h.start, o.start), max(h.end, o.end)
	u.reasons |= reasonUnion
	return u
}

type rule uint8

const (
	ruleEmail rule = iota
	ruleEmailSpoken
	rulePhoneInternational
	rulePhoneNational
	rulePhoneNANP
	rulePhoneSG
	rulePhoneContext
	ruleNRIC
	ruleCard
	ruleIBAN
	ruleSSN
	ruleIPv4
	ruleIPv6
	rulePostalSG
	rulePostalUS
	rulePostalContext
	rulePostalAddress
	ruleAddressStreet
	ruleAddressBlock
	ruleAddressUnit
	ruleAddressBox
	ruleAddressKey
	ruleToken
	ruleJWT
	rulePEM
	ruleBearer
	ruleAssignment
	rulePassword
	ruleURLCredentials
)

var ruleNames = [...]string{
	ruleEmail:              "email",
	ruleEmailSpoken:        "email.spoken",
	rulePhoneInternational: "phone.international",
	rulePhoneNational:      "phone.national",
	rulePhoneNANP:          "phone.nanp",
	rulePhoneSG:            "phone.sg",
	rulePhoneContext:       "phone.context",
	ruleNRIC:               "nric",
	ruleCard:               "card",
	ruleIBAN:               "iban",
	ruleSSN:                "ssn",
	ruleIPv4:               "ip.v4",
	ruleIPv6:               "ip.v6",
	rulePostalSG:           "postal.sg",
	rulePostalUS:           "postal.us",
	rulePostalContext:      "postal.context",
	rulePostalAddress:      "postal.address",
	ruleAddressStreet:      "address.street",
	ruleAddressBlock:       "address.block",
	ruleAddressUnit:        "address.unit",
	ruleAddressBox:         "address.box",
	ruleAddressKey:         "address.key",
	ruleToken:              "secret.token",
	ruleJWT:                "secret.jwt",
	rulePEM:                "secret.pem",
	ruleBearer:             "secret.bearer",
	ruleAssignment:         "secret.assignment",
	rulePassword:           "secret.password",
	ruleURLCredentials:     "secret.url",
}

func (r rule) String() string { return ruleNames[r] }

// reason is a set of reasons.
type reason uint16

const (
	reasonShape reason = 1 << iota
	reasonPrefix
	reasonChecksum
	reasonBadChecksum
	reasonContextBefore
	reasonContextAfter
	reasonNearAddress
	reasonKey
	reasonUnion
	reasonCount = iota
)

var reasonTexts = [reasonCount]string{
	"its shape",
	"its prefix",
	"its checksum is right",
	"its checksum is wrong",
	"words before it",
	"words after it",
	"an address before it",
	"the name of its JSON key",
	"it overlaps another finding",
}

// list spells the set out.
func (r reason) list() []string {
	var out []string
	for i, t := range reasonTexts {
		if r&(1<<i) != 0 {
			out = append(out, t)
		}
	}
	return out
}
