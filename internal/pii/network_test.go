package pii

import "testing"

func TestIPv4Addresses(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"alone", "192.168.0.1", "[MASKED_IP]"},
		{"in a sentence", "I got 203.0.113.7 blocked.", "I got [MASKED_IP] blocked."},
		{"at the end of one", "it is 203.0.113.7.", "it is [MASKED_IP]."},
		{"with a port", "10.0.0.1:8080", "[MASKED_IP]:8080"},
		{"with the length of its network", "10.0.0.0/8 and 10.0.0.0/123", "[MASKED_IP] and [MASKED_IP]/123"},
		{"in a URL", "http://203.0.113.7/x", "http://[MASKED_IP]/x"},
		{"behind an equals sign", "client_ip=203.0.113.7", "client_ip=[MASKED_IP]"},
		{"in brackets", "(192.168.1.1)", "([MASKED_IP])"},
		{"several", "10.0.0.1, 172.16.0.1", "[MASKED_IP], [MASKED_IP]"},
		{"before an @ that is no address", "192.168.2.1@eth0", "[MASKED_IP]@eth0"},
		{"of a build server", "build server 10.0.0.1", "build server [MASKED_IP]"},
	})
	runUntouched(t, []string{
		"192.168.1", "192.168.1.256", "300.1.1.1", "1.2.3.4.5", "version 1.2.3.4", "release 10.20.30.40", "v1.2.3.4", "01.02.03.04",
		"1.3.6.1.4.1.311", "text192.168.1.1", "192.168.1.1text", "section 4.1.2.3", "1..2.3.4", "1.2.3.4567",
	})
}

func TestIPv6Addresses(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"in full", "684D:1111:222:3333:4444:5555:6:77", "[MASKED_IP]"},
		{"shortened", "from 2001:db8::8a2e:370:7334.", "from [MASKED_IP]."},
		{"shortened at its end", "2001:db8::/32", "[MASKED_IP]"},
		{"with a zone", "fe80::1%eth0", "[MASKED_IP]"},
		{"in brackets with a port", "http://[2001:db8::1]:8080/", "http://[[MASKED_IP]]:8080/"},
		{"behind a label that touches it", "IP:2001:db8::1", "IP:[MASKED_IP]"},
		{"behind an @", "root@2001:db8::1", "root@[MASKED_IP]"},
		{"with an IPv4 address inside", "::ffff:192.0.2.1 and 64:ff9b::192.0.2.1", "[MASKED_IP] and [MASKED_IP]"},
		{"in full with an IPv4 address inside", "0:0:0:0:0:FFFF:129.144.52.38", "[MASKED_IP]"},
		{"the loopback next to a word", "my ip is ::1", "my ip is [MASKED_IP]"},
		{"nothing but the gap, with a length", "route ::/0", "route [MASKED_IP]"},
	})
	runUntouched(t, []string{
		"std::cout", "a[::1]", "x[::2]", "12:34:56", "1:2:3:4", "aa:bb:cc:dd:ee:ff", "gggg:hhhh::1234", "12345:db8::1", "2001::db8::1", "::::",
		"dead::beef", "684D:1111:222:3333:4444:5555:77", "fe80::1text", "text2001:db8::1", "::ffff:256.0.0.1", "2001:db8::1.2.3.4.5",
		"1:2:3:4:5:6:7:8:9", ":1:2:3:4:5:6:7:8", "file:///a", "a::b", "::ffff:1.2.3", "2001:db8:1:2:3:4:5.6.7.8:9",
	})
}

func TestEmailAddresses(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"alone", "jane.doe@example.com", "[MASKED_EMAIL]"},
		{"with a plus", "jane+news@example.co.uk", "[MASKED_EMAIL]"},
		{"at the end of a sentence", "Write to jane@example.com.", "Write to [MASKED_EMAIL]."},
		{"in angle brackets", "Jane <jane@example.com>", "Jane <[MASKED_EMAIL]>"},
		{"in a mailto link", "mailto:jane@example.com?subject=x", "mailto:[MASKED_EMAIL]?subject=x"},
		{"behind an equals sign", "email=jane@example.com&x=1", "email=[MASKED_EMAIL]&x=1"},
		{"in a path", "/users/jane@example.com/", "/users/[MASKED_EMAIL]/"},
		{"two", "a@example.com,b@example.com", "[MASKED_EMAIL],[MASKED_EMAIL]"},
		{"with quotes", `"jane doe"@example.com`, "[MASKED_EMAIL]"},
		{"with letters of another script", "jürgen@müller.de", "[MASKED_EMAIL]"},
		{"in another script throughout", "用户@例子.公司", "[MASKED_EMAIL]"},
		{"in a Chinese sentence", "邮箱jane@example.com谢谢", "邮箱[MASKED_EMAIL]谢谢"},
		{"an international domain", "a@xn--d1acufc.xn--p1ai", "[MASKED_EMAIL]"},
		{"a numeric host", "jane@[192.168.0.1] now", "[MASKED_EMAIL] now"},
		{"with a full-width sign", "jane＠example.com", "[MASKED_EMAIL]"},
		{"before a version", "a@example.com.1", "[MASKED_EMAIL].1"},
		{"in single quotes", "'jane@example.com'", "'[MASKED_EMAIL]'"},
		{"spelled out", "jane at example dot com", "[MASKED_EMAIL]"},
		{"spelled out, dots in its name", "mail me: jane dot doe at example dot com thanks", "mail me: [MASKED_EMAIL] thanks"},
		{"spelled out, dots on both sides", "jane [dot] doe [at] mail [dot] example [dot] com", "[MASKED_EMAIL]"},
		{"spelled out with two dots", "mail jane.doe at example dot co dot uk now", "mail [MASKED_EMAIL] now"},
		{"spelled out in brackets", "jane [at] example [dot] com", "[MASKED_EMAIL]"},
		{"spelled out in brackets that touch", "jane(at)example(dot)com", "[MASKED_EMAIL]"},
		{"spelled out in other brackets", "jane.doe{at}example{dot}org!", "[MASKED_EMAIL]!"},
	})
	runUntouched(t, []string{
		"@jane", "jane@", "jane@localhost", "logo@2x.png", "lodash@4.17.21", "@types/node@20.1.0", "golang.org/x/text@v0.3.0", "a @ b",
		"git@github.com:org/repo.git", "not an email: hello-world here", "info@presidio.", "5 @ 3.50 each", "jane@.com", "\"\"@example.com x"[:3],
		"look at the dot com boom", "the dot", "meet at noon dot", "look at the dot matrix dot com", "at dot com", "jane at example dot zzz", "jane at example dotcom",
		"jane [at] example dot", "x\"\n\"@a", "a@[zz]", "@@@",
	})
}
