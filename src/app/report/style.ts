/** Colors and fonts of the report and the studio. */
export const tokens = `
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1d1c1a; --soft: #69655d; --line: #e3dfd7; --wash: #f5f2ec; --shade: #0000002e;
  --accent: #1d5d86; --accent-wash: #e8f0f5; --good: #2b6b4b; --doubt: #85600f; --bad: #9d3a30;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Charter, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171613; --ink: #e9e5dc; --soft: #a09a8e; --line: #37342e; --wash: #211f1b; --shade: #000000a0;
    --accent: #86b9de; --accent-wash: #1e2a33; --good: #83c5a1; --doubt: #dcb766; --bad: #e89a8f;
  }
}
* { box-sizing: border-box; }
`;

/** Rules for graphs (`drawGraph`). */
export const graphStyle = `
.graph { --layer: light-dark(#fffefb, #1d2226); --trained: light-dark(#e9f0e6, #232a20); --compute: light-dark(#f3efe6, #25231e); --move: light-dark(#fdfcfa, #171613); --edge: light-dark(#bdb8ae, #6a665b); --frame: light-dark(#f9f7f3, #1c1b18); }
.graph svg { display: block; margin: 0 auto; overflow: visible; }
.graph text { font: 12px var(--sans); fill: var(--ink); text-anchor: middle; } .graph text.name { font: 600 12px var(--mono); } .graph text:is(.name, .facts, .dims, .block) { text-anchor: start; }
.graph text:is(.facts, .dims, .block) { fill: var(--soft); font-variant-numeric: tabular-nums; } .graph text.facts { font-size: 11px; } .graph text.dims { font-size: 10px; }
.graph text:is(.dims, .block) { paint-order: stroke; stroke: var(--paper); stroke-width: .25em; stroke-linejoin: round; }
.graph .edge { fill: none; stroke: var(--edge); } .graph .frame { fill: var(--frame); stroke: var(--line); }
.graph .body { fill: var(--compute); stroke: var(--line); } .graph .layer .body { fill: var(--layer); stroke: var(--accent); stroke-width: 1.3; }
.graph .trained .body { fill: var(--trained); } .graph .move .body { fill: var(--move); } .graph .shape .body { fill: var(--move); stroke-dasharray: 2 2; } .graph .shape text { fill: var(--soft); }
.graph .port .body { fill: var(--accent-wash); stroke: var(--accent); stroke-opacity: .4; } .graph .unknown .body { stroke: var(--bad); stroke-dasharray: 4 3; }
`;

/** Rules for texts, tables, samples, charts and graphs, which the studio uses too. */
export const sharedStyle: string = `${tokens}
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 var(--sans); }
h1 { font: 400 clamp(1.8rem, 5vw, 2.9rem)/1.15 var(--serif); letter-spacing: -.01em; margin: .35rem 0 .9rem; text-wrap: balance; }
h2 { font: 400 1.35rem/1.3 var(--serif); margin: 3rem 0 .75rem; }
h3 { font: 600 .95rem/1.4 var(--sans); margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; max-width: 44rem; overflow-wrap: break-word; }
.eyebrow { color: var(--soft); font-size: .87rem; }
.lead { font-size: 1.07rem; } .flag { white-space: nowrap; }
.note { color: var(--soft); font-size: .87rem; }
.name, code { font-family: var(--mono); font-size: .86em; unicode-bidi: isolate; overflow-wrap: anywhere; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1em; padding: 0 .7em; font-size: .87rem; white-space: nowrap; }
.good { color: var(--good); } .doubt { color: var(--doubt); } .bad { color: var(--bad); }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); margin: 1.75rem 0 0; padding: 0 1px 1px 0; }
dl.figures > div { display: grid; grid-row: span 2; grid-template-rows: subgrid; row-gap: 0; margin: 0 -1px -1px 0; border: 1px solid var(--line); padding: .7rem .9rem .8rem; }
dl.figures dt { color: var(--soft); font-size: .82rem; }
dl.figures dd { margin: .1rem 0 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl.figures dd small { display: block; font-size: .82rem; color: var(--soft); white-space: normal; }
.wide {
  overflow-x: auto; margin: 0 calc(-1 * clamp(0rem, 2vw, 1rem)); padding: 0 clamp(0rem, 2vw, 1rem);
  /* A shadow shows that the table continues: covers scroll with the content, shadows do not. */
  background: linear-gradient(to right, var(--paper) 40%, transparent) 0 0 / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--paper) 40%, transparent) 100% 0 / 3rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) 0 0 / 1rem 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) 100% 0 / 1rem 100% no-repeat scroll;
}
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums lining-nums; }
th, td { text-align: left; vertical-align: top; padding: .42rem .8rem .42rem 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-weight: 500; font-size: .82rem; white-space: nowrap; vertical-align: bottom; border-bottom-color: var(--soft); } thead td { border-bottom-color: var(--soft); }
th.n, td.n { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
td small, th small { display: block; color: var(--soft); font-size: .82rem; } td small { white-space: nowrap; }
td.text { min-width: 11rem; } td.text small { white-space: normal; }
tr.chosen > * { background: var(--accent-wash); } tr.chosen > :first-child { box-shadow: inset 3px 0 var(--accent); padding-left: .55rem; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: 1.2rem; list-style: none; margin: 1rem 0 0; padding: 0; font-size: .87rem; } .samples li { break-inside: avoid; min-width: 0; }
.samples img { display: block; width: 96px; height: 96px; object-fit: contain; object-position: left bottom; image-rendering: pixelated; margin-bottom: .4rem; }
.samples .series { display: block; margin-bottom: .4rem; fill: none; stroke: var(--ink); } .samples blockquote { margin: 0 0 .4rem; padding-left: .7rem; border-left: 2px solid var(--line); overflow-wrap: anywhere; unicode-bidi: isolate; }
.samples .numbers { font: .86em/1.45 var(--mono); color: var(--soft); overflow-wrap: anywhere; margin: 0 0 .4rem; } .samples p { margin: 0; font-variant-numeric: tabular-nums; }
pre { background: var(--wash); border: 1px solid var(--line); padding: .7rem .9rem; margin: .6rem 0; font: .84rem/1.5 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 2.5rem 0 0; } figcaption { color: var(--soft); font-size: .87rem; margin-top: .4rem; max-width: 46rem; }
svg.chart { display: block; width: 100%; height: auto; font: 13px var(--sans); font-variant-numeric: tabular-nums; }
.chart .grid line { stroke: var(--line); } .chart .axis line { stroke: var(--soft); } .chart text { fill: var(--ink); }
.chart .tick text, .chart .axis text { fill: var(--soft); font-size: 12px; }
.chart .goal line { stroke: var(--bad); stroke-dasharray: 5 4; } .chart .goal text { fill: var(--bad); font-size: 12px; } .chart .estimate line { stroke: var(--soft); stroke-dasharray: 2 3; }
.chart .point line.own { stroke: var(--soft); } .chart .point line.paired { stroke: var(--soft); stroke-width: 4; stroke-opacity: .55; }
.chart circle.searched { fill: var(--soft); fill-opacity: .35; } .chart circle.searched.front { fill: var(--ink); fill-opacity: .8; }
.chart .point circle { fill: var(--paper); stroke: var(--soft); stroke-width: 1.5; }
.chart .chosen circle { fill: var(--accent); stroke: var(--accent); } .chart .chosen line.own, .chart .chosen line.paired { stroke: var(--accent); }
.chart .original circle { stroke: var(--ink); } .chart .rejected circle { stroke-dasharray: 2.5 2; }
.chart .names text, .chart .goal text { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
.chart path { fill: none; } .chart path.loss { stroke: var(--soft); stroke-width: 1.3; } .chart path.evaluated { stroke: var(--accent); stroke-width: 1.3; } .chart circle.evaluated, .chart .axis text.evaluated { fill: var(--accent); }
.layers .own { fill: var(--accent); fill-opacity: .35; } .layers .blamed { fill: var(--bad); fill-opacity: .8; }
.layers polyline { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.chart .names line { stroke: var(--soft); } .chart .names text.chosen { fill: var(--accent); font-weight: 600; } .chart .names text.rejected { fill: var(--soft); }
@media (max-width: 40rem) {
  /* A table of numbers shows each row as a block: the name, download and change first, and the title of a column in each cell. */
  table:has([data-label]) { display: block; } table:has([data-label]) :is(thead, td.key) { display: none; } table:has([data-label]) tbody { display: block; border-top: 1px solid var(--soft); }
  tr:has([data-label]) { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .35rem .8rem; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  tr:has([data-label]) > * { grid-column: 1 / -1; order: -3; min-width: 0; padding: 0; border: 0; }
  tr > [data-label] { grid-column: auto; order: 0; text-align: left; white-space: normal; } [data-label] small { white-space: normal; }
  tr > [data-label]::before { content: attr(data-label); display: block; color: var(--soft); font-size: .82rem; }
  tr > :is([data-label^="brotli"], [data-label^="download"]) { order: -2; } tr > [data-label^="change"] { order: -1; }
  tr.chosen:has([data-label]) { padding-inline: .7rem; background: var(--accent-wash); box-shadow: inset 3px 0 var(--accent); } tr.chosen:has([data-label]) > * { background: none; box-shadow: none; padding: 0; }
}
${graphStyle}`;

export const reportStyle = `${sharedStyle}
main { max-width: 66rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2.5rem) 4rem; }
tr.original td { color: var(--soft); }
tr.rejected td { color: var(--soft); }
td.key { width: 2rem; } table.compact { width: auto; } table.compact th, table.compact td { padding-right: 2.2rem; }
.bar { display: block; height: 3px; margin-top: .3rem; background: var(--line); min-width: 5rem; } .bar i { display: block; height: 100%; background: var(--bad); }
ul.reasons { list-style: none; margin: 0; padding: 0; } ul.reasons li { padding: .45rem 0; border-bottom: 1px solid var(--line); }
ul.reasons .name { color: var(--soft); }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 0; font-size: .9rem; } dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
svg.narrow { display: none; }
footer { margin-top: 3.5rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .84rem; }
@media (max-width: 40rem) {
  .lead { font-size: 1rem; } svg.broad { display: none; } svg.narrow { display: block; } figure.wide svg.broad { display: block; width: 44rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .5rem; }
  dl.figures { grid-template-columns: 1fr 1fr; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #555; --line: #ccc; --wash: #fff; --accent: #1d5d86; --accent-wash: #fff; --good: #2b6b4b; --doubt: #85600f; --bad: #9d3a30; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; } .wide { overflow: visible; margin: 0; padding: 0; }
  h2, h3 { break-after: avoid; } tr, figure, dl.figures, li { break-inside: avoid; } thead { display: table-header-group; } h2 { margin-top: 1.6rem; }
}
`;
