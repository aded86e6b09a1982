package config

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// errValue is all a parser says: what is valid stands in the setting's description, and the value is not repeated,
// because it may hold a password.
var errValue = errors.New("not a valid value")

// Secret is a value that must not be shown. Printing, logging or encoding it shows that it is set and nothing more.
type Secret string

const hidden = "[hidden]"

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the value itself.
func (s Secret) Reveal() string { return string(s) }

// header reports whether the secret can stand in an HTTP header as it is.
func (s Secret) header() bool {
	return !strings.ContainsFunc(string(s), func(r rune) bool { return r <= ' ' || r > '~' })
}

// Addr is a host and port to listen on. An empty host is every interface.
type Addr string

// UnmarshalText takes "host:port", "[::1]:port" and ":port".
func (a *Addr) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	if err != nil || strings.ContainsAny(host, " \t/@") {
		return errValue
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return errValue
	}
	*a = Addr(text)
	return nil
}

// Loopback reports whether only this machine can reach the address. A name other than localhost is taken for public.
func (a Addr) Loopback() bool {
	host, _, _ := net.SplitHostPort(string(a))
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Dialable is the address to reach the server at from the same machine: an unspecified host becomes loopback.
func (a Addr) Dialable() string {
	host, port, _ := net.SplitHostPort(string(a))
	if host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if ip.Is4() {
			return net.JoinHostPort("127.0.0.1", port)
		}
		return net.JoinHostPort("::1", port)
	}
	return string(a)
}

// Store names a store: "sqlite:" and a file, or the URI of a MongoDB, which may hold a password.
type Store string

// MongoDB reports whether the store is a MongoDB.
func (s Store) MongoDB() bool {
	return strings.HasPrefix(string(s), "mongodb://") || strings.HasPrefix(string(s), "mongodb+srv://")
}

// UnmarshalText takes "sqlite:" and a path, or the URI of a MongoDB. A URL with an authority ("sqlite://host/...") and a database in memory are
// refused: the one names no file, the other would lose everything.
func (s *Store) UnmarshalText(text []byte) error {
	if u := Store(text); u.MongoDB() {
		if u.shown() == "" || strings.ContainsAny(string(text), "\x00\n\r ") {
			return errValue
		}
		*s = u
		return nil
	}
	path, found := strings.CutPrefix(string(text), "sqlite:")
	authority := strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///")
	if !found || path == "" || authority || strings.Contains(path, ":memory:") || strings.ContainsAny(path, "\x00?#") || strings.HasSuffix(path, "/") {
		return errValue
	}
	*s = Store(text)
	return nil
}

// Database is the name of a database.
type Database string

// UnmarshalText takes what every server and file system lets a database be called.
func (d *Database) UnmarshalText(text []byte) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if len(text) > 63 || strings.Trim(string(text), letters) != "" {
		return errValue
	}
	*d = Database(text)
	return nil
}

// shown is the URI of a MongoDB without a user's name and password, and without options, which may hold secrets, too. It is empty where no host is named.
func (s Store) shown() string {
	scheme, rest, _ := strings.Cut(string(s), "://")
	rest, _, _ = strings.Cut(rest, "?")
	hosts, database, _ := strings.Cut(rest, "/")
	// A slash in a password must be escaped, and an at sign, too.
	hosts = hosts[strings.LastIndexByte(hosts, '@')+1:]
	if hosts == "" {
		return ""
	}
	if i := strings.LastIndexByte(database, '@'); i >= 0 {
		return ""
	}
	return strings.TrimSuffix(scheme+"://"+hosts+"/"+database, "/")
}

// URL is the base URL of a model server.
type URL struct{ url.URL }

// UnmarshalText takes an absolute http or https URL; a query is kept (Azure's api-version).
func (u *URL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" || parsed.User != nil || parsed.Fragment != "" {
		return errValue
	}
	u.URL = *parsed
	return nil
}

// Hosts is a list of host names.
type Hosts []string

// UnmarshalText takes names separated by commas, spaces around them allowed.
func (h *Hosts) UnmarshalText(text []byte) error {
	var hosts Hosts
	for name := range strings.SplitSeq(string(text), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		ip := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
		if _, err := netip.ParseAddr(ip); err == nil {
			hosts = append(hosts, ip)
			continue
		}
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
			return errValue
		}
		hosts = append(hosts, name)
	}
	*h = hosts
	return nil
}

// Size is a number of bytes.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10},
	{"mib", 1 << 20},
	{"gib", 1 << 30},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"b", 1},
	{"", 1},
}

// UnmarshalText takes a whole number with an optional unit: B, KB, KiB, MB, MiB, GB, GiB, in any case.
func (s *Size) UnmarshalText(text []byte) error {
	lower := strings.ToLower(string(text))
	for _, unit := range units {
		number, found := strings.CutSuffix(lower, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
		if err != nil || int64(n) > math.MaxInt64/unit.bytes {
			return errValue
		}
		*s = Size(int64(n) * unit.bytes)
		return nil
	}
	return errValue
}
