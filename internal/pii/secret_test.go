package pii

import (
	"strings"
	"testing"
)

func TestTokensOfServices(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"OpenAI", "use sk-abcdefghijklmnopqrstuvwxyz now", "use [MASKED_API_KEY] now"},
		{"OpenAI, of a project", "sk-proj-Ab1_Cd2-Ef3Gh4Ij5Kl6Mn7Op8Qr9", "[MASKED_API_KEY]"},
		{"Anthropic", "sk-ant-api03-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8-Qr9AA", "[MASKED_API_KEY]"},
		{"Stripe", "sk_live_4eC39HqLyjWDarjtT1zdp7dc and pk_test_TYooMQauvdEDq54NiTphI7jx", "[MASKED_API_KEY] and [MASKED_API_KEY]"},
		{"GitHub", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "[MASKED_API_KEY]"},
		{"GitHub, fine-grained", "github_pat_11ABCDEFG0abcdefghijkl_0123456789abcdefghij", "[MASKED_API_KEY]"},
		{"GitLab", "glpat-Ab1Cd2Ef3Gh4Ij5Kl6Mn", "[MASKED_API_KEY]"},
		{"Slack", "xoxb-1234567890-abcdefABCDEF1234", "[MASKED_API_KEY]"},
		{"SendGrid", "SG.Ab1Cd2Ef3Gh4Ij5Kl6Mn7O.pQrStUvWxYz0123456789abcdefghijklmnopqrst", "[MASKED_API_KEY]"},
		{"Vault", "hvs.CAESIJ0123456789abcdefghij", "[MASKED_API_KEY]"},
		{"AWS", "AKIAIOSFODNN7EXAMPLE", "[MASKED_API_KEY]"},
		{"AWS, temporary", "(ASIAIOSFODNN7EXAMPLE)", "([MASKED_API_KEY])"},
		{"Google", "AIzaSyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v", "[MASKED_API_KEY]"},
		{"Hugging Face", "hf_abcdefghijklmnopqrstuvwxyzABCDEF01", "[MASKED_API_KEY]"},
		{"Telegram", "bot 123456789:AAabcdefghijABCDEFGHIJ0123456789012", "bot [MASKED_API_KEY]"},
		{"the end of a sentence is no part of it", "It is sk-abcdefghijklmnopqrstuvwxyz.", "It is [MASKED_API_KEY]."},
		{"a JSON web token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl_-x", "[MASKED_API_KEY]"},
		{"a JSON web token without its signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjMifQ.", "[MASKED_API_KEY]."},
		{"a private key", "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\n-----END RSA PRIVATE KEY-----\nb", "a\n[MASKED_API_KEY]\nb"},
		{"a private key without an end", "-----BEGIN PRIVATE KEY-----\nMIIEow+/=\n!", "[MASKED_API_KEY]!"},
		{"two private keys", "-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----\nB\n-----END PRIVATE KEY-----", "[MASKED_API_KEY]\n[MASKED_API_KEY]"},
		{"a private key with something masked in it", "-----BEGIN PRIVATE KEY-----\nA\n[MASKED_EMAIL]\n-----END PRIVATE KEY-----", "[MASKED_API_KEY][MASKED_EMAIL]\n-----END PRIVATE KEY-----"},
	})
	runUntouched(t, []string{
		"sk-learn is a library", "a sk-type", "task-oriented-dialogue-systems-of-2023", "pk_id", "github_token", "npm_config_registry", "hf_hub",
		"xsk-abcdefghijklmnopqrstuvwxyz", "AKIA is a prefix", "AKIAIOSFODNN7EXAMPLEX", "AKIAIOSFODNN7EXAMPL", "AIza", "AIzashort", "eyJhbGciOiJIUzI1NiJ9",
		"eyJ.eyJ", "keyJ0123456789.abc", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "-----BEGIN ",
		"sk-", "secret_santa", "test_case_for_the_parser", "live_reload", "SG.com", "access_log", "12345678:AAshort",
	})
}

func TestPasswordsAndKeysByTheirNames(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"an assignment", "password=hunter2", "password=[MASKED_API_KEY]"},
		{"with spaces and quotes", `password = "correct horse battery"`, `password = "[MASKED_API_KEY]"`},
		{"with a colon", "Password: Tr0ub4dor&3", "Password: [MASKED_API_KEY]"},
		{"a plain word that ends the line", "password: banana\nuser: bob", "password: [MASKED_API_KEY]\nuser: bob"},
		{"in JSON", `{"password":"hunter2","n":1}`, `{"password":"[MASKED_API_KEY]","n":1}`},
		{"in escaped JSON", `{\"password\":\"hunter2\"}`, `{\"password\":\"[MASKED_API_KEY]\"}`},
		{"in an environment", "export OPENAI_API_KEY=ab12cd34ef56", "export OPENAI_API_KEY=[MASKED_API_KEY]"},
		{"in a URL", "https://x.example/?api_key=ab12cd34ef56&b=1", "https://x.example/?api_key=[MASKED_API_KEY]&b=1"},
		{"in camel case", "clientSecret: 'ab12cd34ef56'", "clientSecret: '[MASKED_API_KEY]'"},
		{"in words", "my API key: ab12cd34ef56", "my API key: [MASKED_API_KEY]"},
		{"a token that looks like one", "token=ab12cd34ef56", "token=[MASKED_API_KEY]"},
		{"a private key of AWS", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [MASKED_API_KEY]"},
		{"by := in code", `password := "hunter2"`, `password := "[MASKED_API_KEY]"`},
		{"by => in code", `:password => "hunter2"`, `:password => "[MASKED_API_KEY]"`},
		{"in a sentence", "my password is hunter2!", "my password is [MASKED_API_KEY]"},
		{"in a sentence with quotes", "the password is 'open sesame'", "the password is '[MASKED_API_KEY]'"},
		{"told without a verb", "pwd Tr0ub4dor3 works", "pwd [MASKED_API_KEY] works"},
		{"a changed one", "I set the passwd to s3cret99.", "I set the passwd to [MASKED_API_KEY]."},
		{"in Chinese", "密码：", "密码："},
		{"in Chinese with a plain colon", "密码: hunter2", "密码: [MASKED_API_KEY]"},
		{"a bearer token", "Authorization: Bearer abc123def456", "Authorization: Bearer [MASKED_API_KEY]"},
		{"a bearer token in lower case", "authorization: bearer abc123def456.", "authorization: bearer [MASKED_API_KEY]."},
		{"basic credentials", "Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [MASKED_API_KEY]"},
		{"a URL with a token alone, and what follows it reads as an e-mail address", "https://0123456789abcdef0123456789abcdef@sentry.example/1", "https://[MASKED_API_KEY]/1"},
		{"a URL with a user and a password", "redis://u:p4ss@cache:6379/0", "redis://[MASKED_API_KEY]@cache:6379/0"},
		{"a value that was masked", "password=[MASKED_API_KEY] token: [MASKED_API_KEY]", "password=[MASKED_API_KEY] token: [MASKED_API_KEY]"},
	})
	runUntouched(t, []string{
		"password: string", "password = None", "password=$DB_PASSWORD", "password: <your password>", "password: ********", "password=os.environ['X']",
		"Password: must be at least eight characters", "password is required", "password is wrong", "the password was changed", "password",
		"password:", "password=", "password==x1y2", "x != password", "token: the unit of text", "tokens: 1024", "max_tokens=4096", "token=short",
		"key: value1234", "primary key: user_id1", "secret: {{ .Values.x }}", "password: getPassword()", "bearer of bad tidings", "Basic Understanding of",
		"the basics", "Bearer", "http://example.com:8080/x", "http://user@example.com/x"[:12], "https://$USER:$PASS@host", "ssh://git@host/x", "a=b", "x := y",
		"if password == secret {", "std::password::x", "password: your-password-here", "passwords are hard", "a pass word", "token: abcdefgh",
	})
}

func TestALongSecretIsMaskedUpToItsLimit(t *testing.T) {
	text := `password="` + strings.Repeat("x1", 4*maxSecret)
	got := string(New().AppendText(nil, text, nil))
	if !strings.HasPrefix(got, `password="`+APIKey.Tag()) && got != text {
		t.Errorf("becomes %q", got)
	}
}
