package pii

// keyInfo is what the key of a JSON value says of it.
type keyInfo struct {
	hints  hint // for the rules that find values in text
	own    hint // of the key itself, not of those around it
	secret secrecy
	street bool // the key's own name, and not only a part of it, means a street address
}

// readKey reads the parts of a key: phoneNumber, card_no, billing-zip. A key that ends in what is not personal, phone_id,
// takes back what its other parts say.
func readKey(key string) keyInfo {
	const longest = 64
	if len(key) > longest {
		return keyInfo{}
	}
	var k keyInfo
	other := false
	end := wordEnd(key, len(key))
	for first := true; end > 0; first = false {
		w := lastPart(key[:end])
		h := words.of(w)
		if h == 0 && len(w) > 3 && w[len(w)-1]|0x20 == 's' {
			h = words.of(w[:len(w)-1])
		}
		if first {
			if h&(hintSecret|hintToken|hintKey) != 0 {
				k.secret = secretName(key)
			}
			other = h&(hintOther|hintUnit) != 0 && h&(hintPersonal&^hintPlace) == 0
		}
		k.own |= h & hintPersonal
		k.street = k.street || h&hintAddress != 0 && isStreetWord(w)
		end = wordEnd(key, end-len(w))
	}
	// The code of postal_code is what its other part says; the id of phone_id is not.
	if other && k.own&hintPostal == 0 {
		return keyInfo{hints: hintOther, own: hintOther}
	}
	k.own &^= hintPlace | hintCity
	if k.own&(hintEmail|hintIP|hintPostal) != 0 {
		k.own &^= hintAddress
	}
	k.hints = k.own
	return k
}

// wordEnd returns where the last word before i ends.
func wordEnd(t string, i int) int {
	for i > 0 && !is(t[i-1], isLetter|isHigh) {
		i--
	}
	return i
}

func isStreetWord(w string) bool {
	for _, s := range [...]string{"addr", "street", "adre", "direcc", "alamat"} {
		if folds(w, 0, s) {
			return true
		}
	}
	return false
}

// whole decides by the key alone what a value is where the rules for text found it in part or not at all.
func (k keyInfo) whole(v string, found *Counts) (Entity, bool) {
	if k.own == 0 && k.secret == secretNo || v == "" {
		return 0, false
	}
	if _, end, ok := tagAt(v, 0); ok && end == len(v) {
		return 0, false
	}
	if k.secret != secretNo && secretValue(v, k.secret, true, true) {
		return APIKey, true
	}
	if k.own&(hintPostal|hintPhone|hintAddress) == 0 {
		return 0, false
	}
	digits, letters := 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case is(c, isDigit):
			digits++
		case is(c, isLetter|isHigh):
			letters++
		}
	}
	switch h := k.own; {
	case h&hintPostal != 0 && digits > 1 && len(v) <= 12:
		return Postal, true
	case h&hintPhone != 0 && digits >= minPhone-2 && digits <= maxPhone+4 && letters <= 4 && found[Email]+found[IP] == 0:
		return Phone, true
	case h&hintAddress != 0 && k.street && digits > 0 && letters > 0 && found[Email]+found[IP]+found[Phone] == 0:
		return Address, true
	}
	return 0, false
}
