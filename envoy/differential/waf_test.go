package differential_test

import (
	"net/url"
	"strconv"
)

var firewall = []exchange{
	{name: "harmless", send: message{line: "GET /search?q=hello+world", headers: []string{"user-agent: test"}}, want: []string{"response 200"}, absent: []string{"log"}},
	{name: "harmless form", send: message{line: "POST /", headers: form, body: []string{"name=O%27Brien&", "role=user"}}, reply: message{body: []string{"ok"}},
		want: []string{"response 200", `request body "name=O%27Brien&role=user"`, `response body "ok"`}, absent: []string{"log"}},
	refused("SQL injection", 403, 130, message{line: "GET /?id=" + url.QueryEscape("1' OR '1'='1' --")}),
	refused("SQL injection in a form", 403, 130, message{line: "POST /", headers: form, body: []string{"id=" + url.QueryEscape("1 UNION SELECT user, password FROM users")}}),
	refused("SQL injection in JSON", 403, 130, message{line: "POST /", headers: jsonBody, body: []string{`{"id": "1 UNION SELECT user, `, `password FROM users"}`}}),
	refused("SQL injection in a cookie", 403, 130, message{headers: []string{"cookie: id=1' or 1=1 --"}}),
	refused("cross-site scripting", 403, 140, message{line: "GET /?q=" + url.QueryEscape("<script>alert(1)</script>")}),
	refused("path traversal", 403, 120, message{line: "GET /files?name=..%2f..%2fetc/passwd"}),
	refused("a scanner", 403, 110, message{headers: []string{"user-agent: sqlmap/1.7"}}),
	refused("a role in a form", 403, 150, message{line: "POST /", headers: form, body: []string{"name=me&role=Admin"}}),
	refused("a role in JSON", 403, 150, message{line: "POST /", headers: jsonBody, body: []string{`{"user":{"role":"admin"}}`}}),
	refused("broken JSON", 400, 101, message{line: "POST /", headers: jsonBody, body: []string{`{"user":`}}),
	{name: "redirect", send: message{line: "GET /old/page"}, want: []string{"response 302", "response header location: /new/"}, absent: []string{"request"}},
	{name: "a debug response", reply: message{headers: []string{"x-debug: 1"}, body: []string{"secret"}},
		want: []string{"response 502", `response body "refused by rule 200\n"`}, absent: []string{"response header x-debug"}},
	{name: "an error of the inside", reply: message{status: 500, headers: []string{"content-type: text/plain"}, body: []string{"ORA-00", "942: table or view does not exist"}},
		want: []string{"response 500", "log error waf: rule 210: an error that tells of the inside ()"}, absent: []string{"response body"}},
}

var (
	form     = []string{"content-type: application/x-www-form-urlencoded"}
	jsonBody = []string{"content-type: application/json"}
)

func refused(name string, status, rule int, send message) exchange {
	return exchange{name: name, send: send, absent: []string{"request"}, want: []string{
		"response " + strconv.Itoa(status), `response body "refused by rule ` + strconv.Itoa(rule) + `\n"`,
	}}
}
