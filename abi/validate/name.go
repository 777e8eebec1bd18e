package validate

import (
	"errors"
	"fmt"
	"strings"
)

// externName is an import or export name taken apart (Explainer, "Import and
// Export Definitions").
type externName struct {
	iface      bool   // an interface name, else a plain one
	annotation string // constructor, method, static or none
	resource   string // label of the resource an annotation names
	label      string // of a plain name; of the function behind a resource's
	version    string // behind @, of an interface name
}

func parseExternName(s string) (externName, error) {
	n, err := parseName(s)
	if err != nil {
		return n, fmt.Errorf("%q is not a valid name: %w", s, err)
	}
	return n, nil
}

func parseName(s string) (externName, error) {
	if strings.HasPrefix(s, "[") {
		return parseAnnotated(s)
	}
	if strings.Contains(s, ":") {
		return parseInterfaceName(s)
	}
	return externName{label: s}, checkLabel(s)
}

func parseAnnotated(s string) (externName, error) {
	annotation, rest, ok := strings.Cut(s[1:], "]")
	n := externName{annotation: annotation}
	switch {
	case !ok:
		return n, errors.New("`[` has no `]`")
	case annotation == "constructor":
		n.resource = rest
		return n, checkLabel(rest)
	case annotation != "method" && annotation != "static":
		return n, fmt.Errorf("[%s] is none of [constructor], [method] and [static]", annotation)
	}
	n.resource, n.label, ok = strings.Cut(rest, ".")
	if !ok {
		return n, errors.New("a `.` must separate resource and function")
	}
	if err := checkLabel(n.resource); err != nil {
		return n, err
	}
	return n, checkLabel(n.label)
}

// parseInterfaceName checks namespace:package/interface@version. Nested
// namespaces and packages are not part of WASI yet.
func parseInterfaceName(s string) (externName, error) {
	path, version, versioned := strings.Cut(s, "@")
	namespace, rest, _ := strings.Cut(path, ":")
	pkg, iface, ok := strings.Cut(rest, "/")
	n := externName{iface: true, version: version}
	if !ok {
		return n, errors.New("expected `/` and an interface behind the package")
	}
	if err := checkWords(namespace); err != nil {
		return n, err
	}
	if err := checkWords(pkg); err != nil {
		return n, err
	}
	if err := checkLabel(iface); err != nil {
		return n, err
	}
	if versioned && !isCanonVersion(version) {
		return n, checkSemver(version)
	}
	return n, nil
}

var errKebab = errors.New("not in kebab case, such as get-JSON or a1-b2")

// checkLabel checks the label production: fragments of one case each, the first
// of which begins with a letter.
func checkLabel(s string) error { return checkKebab(s, true) }

// checkWords checks the words production: a label without upper case.
func checkWords(s string) error { return checkKebab(s, false) }

func checkKebab(s string, acronyms bool) error {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return fmt.Errorf("%q is %w", s, errKebab)
	}
	for fragment := range strings.SplitSeq(s, "-") {
		var lower, upper bool
		for _, c := range []byte(fragment) {
			switch {
			case c >= 'a' && c <= 'z':
				lower = true
			case c >= 'A' && c <= 'Z' && acronyms:
				upper = true
			case c < '0' || c > '9':
				return fmt.Errorf("%q is %w", s, errKebab)
			}
		}
		if fragment == "" || lower && upper {
			return fmt.Errorf("%q is %w", s, errKebab)
		}
	}
	return nil
}

// canonical is the form of a name in which strongly-unique ones differ
// (Explainer, "Name Uniqueness").
func (n externName) canonical(s string) string {
	switch {
	case n.iface:
		path, _, _ := strings.Cut(s, "@")
		return strings.ToLower(path) + s[len(path):]
	case n.annotation == "" || n.annotation == "constructor":
		return strings.ToLower(s)
	}
	resource, label := strings.ToLower(n.resource), strings.ToLower(n.label)
	if resource == label {
		return label
	}
	return resource + "." + label
}

// checkSemver checks a version against Semantic Versioning 2.0.
func checkSemver(s string) error {
	rest, build, hasBuild := strings.Cut(s, "+")
	numbers, pre, hasPre := strings.Cut(rest, "-")
	parts := strings.Split(numbers, ".")
	if len(parts) != 3 {
		return fmt.Errorf("version %q is not major.minor.patch", s)
	}
	for _, p := range parts {
		if !isNumber(p) {
			return fmt.Errorf("version %q: %q is not a number without leading zeroes", s, p)
		}
	}
	if hasPre {
		for id := range strings.SplitSeq(pre, ".") {
			if !isVersionID(id) || isDigits(id) && !isNumber(id) {
				return fmt.Errorf("version %q: %q is not a pre-release identifier", s, id)
			}
		}
	}
	if hasBuild {
		for id := range strings.SplitSeq(build, ".") {
			if !isVersionID(id) {
				return fmt.Errorf("version %q: %q is not a build identifier", s, id)
			}
		}
	}
	return nil
}

// isCanonVersion reports whether a version is the part of one that tells
// incompatible versions apart (Explainer, "Canonical Interface Name").
func isCanonVersion(s string) bool {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		if last := i == len(parts)-1; !isNumber(p) || !last && p != "0" {
			return false
		}
	}
	return len(parts) == 3 || len(parts) < 3 && parts[len(parts)-1] != "0"
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isNumber(s string) bool { return isDigits(s) && (s == "0" || s[0] != '0') }

func isVersionID(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}
