/** The CSS of the page of `pith plot`. */
import { tokens } from "../style.ts";

const shade = (index: number): string =>
  `.heat${index} { fill-opacity: ${(0.1 + (0.9 * (index + 1)) / 8).toFixed(2)}; }`;

export const plotStyle = `${tokens}
:root { --layer: #fffefb; --trained: #e9f0e6; --compute: #f3efe6; --move: #fdfcfa; --edge: #bdb8ae; --frame: #f9f7f3; }
@media (prefers-color-scheme: dark) { :root { --layer: #1d2226; --trained: #232a20; --compute: #25231e; --move: #171613; --edge: #6a665b; --frame: #1c1b18; } }
html, body { height: 100%; }
body { margin: 0; display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr) auto; height: 100dvh; background: var(--paper); color: var(--ink); font: 14px/1.45 var(--sans); }
header { grid-column: 1 / -1; display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 2rem; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
h1 { font: 400 1.15rem/1.25 var(--serif); margin: 0; overflow-wrap: anywhere; } header details ul { margin: 0; padding-left: 1.2rem; max-height: 30vh; overflow: auto; } header p, header details { margin: 0; color: var(--soft); font-size: .82rem; font-variant-numeric: tabular-nums; }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.4rem; margin: 0; font-size: .86rem; }
.tools label { display: inline-flex; align-items: center; gap: .45rem; } .tools span { color: var(--soft); }
fieldset { border: 0; padding: 0; margin: 0; display: inline-flex; gap: .9rem; } fieldset input { margin: 0; accent-color: var(--accent); }
input[type=search] { font: inherit; color: inherit; background: var(--wash); border: 1px solid var(--line); border-radius: 3px; padding: .25rem .5rem; width: 13rem; max-width: 45vw; }
input[type=range] { width: 11rem; max-width: 40vw; accent-color: var(--soft); }
output { font-variant-numeric: tabular-nums; } #share { min-width: 3.2em; text-align: right; } #total, #found { color: var(--soft); }
#view { position: relative; overflow: auto; min-height: 0; } .live #view { overflow: hidden; touch-action: none; cursor: grab; } .live #view.dragging { cursor: grabbing; }
svg#drawing { display: block; margin: 0 auto; } .live svg#drawing { width: 100%; height: 100%; margin: 0; }
text { font: 12px var(--sans); fill: var(--ink); text-anchor: middle; } .name { font: 600 12px var(--mono); } text.name, text.facts, text.note { text-anchor: start; }
text.facts { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; } text.note { font-size: 10px; fill: var(--soft); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.edge { fill: none; stroke: var(--edge); } .edge.near { stroke: var(--accent); stroke-width: 2; }
.box { cursor: pointer; } .body { fill: var(--compute); stroke: var(--line); }
.layer .body { fill: var(--layer); stroke: var(--accent); stroke-width: 1.3; } .trained .body { fill: var(--trained); } .move .body { fill: var(--move); }
.shape .body { fill: var(--move); stroke-dasharray: 2 2; } .shape text.title { fill: var(--soft); } .port .body { fill: var(--accent-wash); stroke: var(--accent); stroke-opacity: .4; }
.unknown .body { stroke: var(--bad); stroke-dasharray: 4 3; } .box.chosen .body { stroke: var(--accent); stroke-width: 3; stroke-dasharray: none; }
.searching .box:not(.found), .searching .edge { opacity: .22; } .box.found .body, .found .body { stroke: var(--doubt); stroke-width: 2.5; }
.heat { fill: var(--accent); } ${Array.from({ length: 8 }, (_, index) => shade(index)).join(" ")}
path.gone { fill: url(#gone); } .gone-ground { fill: var(--paper); fill-opacity: .82; } .gone-line { fill: var(--soft); }
.far text.note, .far text.facts, .far text.title { display: none; }
.frame rect { fill: var(--frame); stroke: var(--line); } #labels text { font: 600 12px var(--sans); fill: var(--soft); text-anchor: end; pointer-events: none; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; } #rows text { font-size: inherit; fill: var(--ink); text-anchor: start; pointer-events: none; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; } .far .body, .far .frame rect { stroke: var(--edge); } .far .compute .body, .far .trained .body { fill: var(--edge); }
#sketch .edge { stroke-width: 2; } #sketch .layer .body { fill: var(--accent); fill-opacity: .7; } #sketch .compute .body, #sketch .trained .body { stroke: var(--edge); stroke-width: 2; }
nav { flex-basis: 100%; font-size: .86rem; color: var(--soft); } nav[hidden] { display: none; } nav b { font-weight: 600; color: var(--ink); } nav button, aside .enter { font: inherit; color: var(--accent); background: none; border: 0; padding: .2rem 0; cursor: pointer; text-decoration: underline; } aside .enter { display: block; }
aside dl { margin: 0; } aside dt { font: .92em/1.5 var(--mono); } aside dd { margin: 0 0 .35rem .9rem; } aside dd.refused { color: var(--soft); }
noscript { display: block; padding: 2rem; }
.zoom { position: absolute; right: .8rem; bottom: .8rem; display: none; border: 1px solid var(--line); border-radius: 3px; background: var(--paper); } .live .zoom { display: flex; }
.zoom button { font: 1.05rem/1 var(--sans); color: inherit; background: none; border: 0; width: 2.2rem; height: 2.2rem; cursor: pointer; } .zoom button + button { border-left: 1px solid var(--line); }
.legend { grid-column: 1 / -1; display: none; flex-wrap: wrap; gap: .15rem 1rem; font-size: .76rem; color: var(--soft); border-top: 1px solid var(--line); padding: .25rem 1rem; } .live .legend { display: flex; }
.legend span::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em; vertical-align: -.05em; border: 1px solid var(--line); background: var(--compute); }
.legend .layer::before { border-color: var(--accent); background: var(--layer); } .legend .trained::before { background: var(--trained); } .legend .move::before { background: var(--move); } .legend .shape::before { border-style: dashed; background: none; } .legend .unknown::before { border: 1px dashed var(--bad); background: none; }
.legend .strip::before { width: 2.2em; border: 0; background: repeating-linear-gradient(45deg, var(--soft) 0 1.5px, transparent 1.5px 5px) bottom / 100% 50% no-repeat, linear-gradient(90deg, var(--accent), var(--accent-wash)); }
aside { width: min(23rem, 100vw); overflow: auto; border-left: 1px solid var(--line); padding: .9rem 1.1rem 2rem; font-size: .86rem; } aside[hidden] { display: none; }
aside h2 { font: 600 .98rem/1.35 var(--mono); margin: 0 1.6rem .1rem 0; overflow-wrap: anywhere; unicode-bidi: isolate; } aside h3 { font: 500 .8rem/1.4 var(--sans); color: var(--soft); margin: 1.1rem 0 .25rem; }
aside .close { float: right; font: 1.1rem/1 var(--sans); color: var(--soft); background: none; border: 0; cursor: pointer; padding: .2rem .3rem; }
aside ul { list-style: none; margin: 0; padding: 0; font: .92em/1.5 var(--mono); overflow-wrap: anywhere; } aside p { margin: .1rem 0; font-variant-numeric: tabular-nums; } aside .bad { color: var(--bad); }
aside svg { display: block; width: 100%; height: auto; margin-top: .3rem; } aside .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; } aside .part { fill: var(--soft); fill-opacity: .28; } aside .base { stroke: var(--line); } aside svg text { font-size: 11px; fill: var(--soft); }
aside .bar { fill: var(--accent); } aside .bar.removed { fill: var(--soft); fill-opacity: .55; }
@media (max-width: 46rem) {
  body { grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr); } aside { width: auto; border-left: 0; border-top: 1px solid var(--line); max-height: 45dvh; }
  .live .legend { display: none; } header { padding: .5rem .7rem; } input[type=search] { font-size: 16px; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #555; --line: #ccc; --wash: #fff; --frame: #fafafa; --layer: #fff; --trained: #eef3ec; --compute: #f5f3ee; --move: #fff; --edge: #999; --accent: #1d5d86; --accent-wash: #fff; --bad: #9d3a30; --doubt: #85600f; }
  html, body { height: auto; } body { display: block; } header { border: 0; padding: 0; } .tools, .zoom, .live .legend, .live .zoom, aside { display: none; } .live #view { overflow: visible; } .live svg#drawing { width: 100%; height: auto; margin: 0 auto; }
}
`;
