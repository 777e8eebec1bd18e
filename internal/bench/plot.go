package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// Sizes of the plot, in pixels.
const (
	labelWidth = 262
	panelWidth = 230
	barWidth   = 140 // of the longest: its figures stand behind it
	rowHeight  = 18
)

// opening has colours for light and dark pages.
const opening = `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">
<style>
text { fill: #1f2328 } .title { font-weight: bold; font-size: 13px } .panel { font-weight: bold }
.envoy { fill: #9aa4b2 } .server { fill: #2f6fde } .bar { fill: #3f8f6b } .mark { stroke: #cf222e; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .envoy { fill: #6e7681 } .server { fill: #58a6ff } .bar { fill: #56b389 } .mark { stroke: #ff7b72 } }
</style>
`

// panel is a set of bars. A bar has parts, each of a class of colour.
type panel struct {
	title   string
	results []*result
	classes []string
	parts   func(*figures) []float64
}

// plot is a picture of the figures that matter most, as SVG: some bars are not worth a
// library that draws anything.
func (r *report) plot() []byte {
	var b bytes.Buffer
	y := 0
	for _, block := range []struct {
		title  string
		panels []panel
	}{
		{"Headers, both ways, over HTTP/1.1, 64 at once", panels(of(r.Headers, headlines[0]), of(r.Headers, headlines[1]))},
		{"Bodies of 64 KB, both ways, over HTTP/2, 8 at once", panels(of(r.Bodies, headlines[2]), of(r.Bodies, headlines[2]))},
	} {
		if len(block.panels) == 0 {
			continue
		}
		fmt.Fprintf(&b, `<text class="title" x="4" y="%d">%s</text>`+"\n", y+18, html.EscapeString(block.title))
		for i, p := range block.panels {
			p.draw(&b, labelWidth+i*panelWidth, y+36, i == 0)
		}
		y += 52 + rowHeight*len(block.panels[0].results)
	}
	width := labelWidth + 3*panelWidth
	fmt.Fprintf(&b, `<text x="4" y="%d">The dashed line is the yardstick, %s.</text>`+"\n", y+12, html.EscapeString(yardstick))
	return fmt.Appendf(nil, opening+"%[3]s</svg>\n", width, y+20, b.Bytes())
}

// panels show what is used and served under one load, and latency under another.
func panels(full, half []*result) []panel {
	if len(full) == 0 || len(half) == 0 {
		return nil
	}
	late := "p99 in ms"
	if l := half[0].Load; l.Half {
		late = fmt.Sprintf("p99 in ms at %.0f requests/s", l.Rate)
	}
	return []panel{
		{"CPU µs/request: Envoy + server", full, []string{"envoy", "server"}, func(f *figures) []float64 { return []float64{f.EnvoyCPU, f.ServerCPU} }},
		{"requests/s", full, []string{"bar"}, func(f *figures) []float64 { return []float64{f.PerSecond} }},
		{late, half, []string{"bar"}, func(f *figures) []float64 { return []float64{f.P99 / 1000} }},
	}
}

func (p panel) draw(b *bytes.Buffer, x, y int, labelled bool) {
	fmt.Fprintf(b, `<text class="panel" x="%d" y="%d">%s</text>`+"\n", x, y, html.EscapeString(p.title))
	longest := 0.0
	for _, r := range p.results {
		longest = max(longest, sum(p.parts(&r.Median)))
	}
	scale := barWidth / max(longest, 1e-9)
	for i, r := range p.results {
		top := y + 6 + i*rowHeight
		if labelled {
			fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", x-8, top+12, html.EscapeString(r.Contestant))
		}
		at := float64(x)
		var values []string
		for n, v := range p.parts(&r.Median) {
			if v == 0 {
				continue
			}
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n", p.classes[n], at, top+2, v*scale, rowHeight-4)
			at += v * scale
			values = append(values, figure(v))
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", at+4, top+12, strings.Join(values, " + "))
	}
	for _, r := range p.results {
		if r.Contestant == yardstick {
			at := float64(x) + sum(p.parts(&r.Median))*scale
			fmt.Fprintf(b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", at, at, y+6, y+6+rowHeight*len(p.results))
		}
	}
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}
