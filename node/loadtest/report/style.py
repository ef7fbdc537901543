"""How the page looks: light and dark by the reader's choice, on paper, and 380 pixels wide."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #17202b; --dim: #5b6675; --rule: #dde2e9; --grid: #e6eaf0; --hover: #17202b12;
  --judged: #2563eb14; --good: #157f3c; --bad: #c0261c; --doubt: #9a6200;
  --good-back: #e7f6ec; --bad-back: #fdeceb; --doubt-back: #fdf3dc;
  --c1: #2563eb; --c2: #d9660a; --c3: #0b8f80; --c4: #8b3fd1; --c5: #d22f27; --c6: #94a1b3; --c7: #46505e; --c8: #b0306f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --card: #171e27; --ink: #e6ebf1; --dim: #9aa7b6; --rule: #2b3542; --grid: #242d38; --hover: #ffffff14;
    --judged: #6ea2ff21; --good: #5fd38a; --bad: #ff8177; --doubt: #f0bd58;
    --good-back: #12301f; --bad-back: #3a1816; --doubt-back: #35290f;
    --c1: #6ea2ff; --c2: #ff9d4d; --c3: #3fcdbb; --c4: #c58bff; --c5: #ff7b72; --c6: #647286; --c7: #c3ccd7; --c8: #ff8ac0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 2px; letter-spacing: -.015em; }
h2 { font-size: 1.12rem; margin: 0 0 10px; }
h3 { font-size: .95rem; margin: 0; }
p { margin: 0 0 8px; }
.dim, .caption { color: var(--dim); }
.caption { font-size: .84rem; margin: 0 0 6px; }
code, .id { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .86em; }
section, .verdict { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px; margin-top: 16px; }
.verdict { border-left-width: 6px; font-size: 1.05rem; }
.verdict p { margin: 0; }
.verdict b:first-child { font-size: 1.25rem; margin-right: .35em; }
.verdict.good { background: var(--good-back); border-color: var(--good); }
.verdict.bad { background: var(--bad-back); border-color: var(--bad); }
.verdict.doubt { background: var(--doubt-back); border-color: var(--doubt); }
.planted { margin-top: 8px !important; font-size: .95rem; }
.good .word, td.good, b.good { color: var(--good); }
.bad .word, td.bad, b.bad { color: var(--bad); }
.doubt .word, td.doubt, b.doubt { color: var(--doubt); }
td.good, td.bad, td.doubt { font-weight: 600; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 0; }
dt { color: var(--dim); }
dd { margin: 0; min-width: 0; }
ul { margin: 0; padding-left: 1.2em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 10px; padding: 0; margin: 16px 0 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 10px 12px; }
.tiles b { display: block; font-size: 1.25rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--dim); font-size: .84rem; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--dim); font-weight: 500; font-size: .82rem; }
tbody th { font-weight: 500; }
th.name { white-space: nowrap; }
.id { display: inline-block; max-width: 100%; margin-right: .5em; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.group th { color: var(--dim); font-size: .82rem; font-weight: 500; padding-top: 12px; }
.meaning { color: var(--dim); font-size: .86rem; }
.ids { margin: 4px 0 0; font-size: .86rem; }
.found { background: var(--bad-back); }
.found > :first-child { box-shadow: inset 3px 0 var(--bad); padding-left: 10px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 22px 26px; }
.charts > figure { margin: 0; min-width: 0; break-inside: avoid; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .82rem; margin: 0 0 4px; color: var(--dim); }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.key { width: 16px; height: 0; border-top: 2.5px solid; }
.key.dashed { border-top-style: dashed; border-top-width: 2px; }
.key.area, .key.stack { height: 10px; border: 0; background: currentColor; opacity: .55; border-radius: 2px; }
.chart { display: flex; align-items: flex-start; }
.scale { flex: none; }
.plot { flex: 1 1 0; width: 100%; min-width: 0; overflow: visible; }
.tick { fill: var(--dim); font-size: 11px; font-variant-numeric: tabular-nums; }
.tick.y, .tick.end { text-anchor: end; }
.tick.middle { text-anchor: middle; }
.grid { stroke: var(--grid); shape-rendering: crispEdges; }
.judged { fill: var(--judged); }
.drawing { overflow: hidden; }
.drawing polyline { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.drawing .dashed { stroke-width: 1.4; stroke-dasharray: 5 4; }
.drawing polyline.area { stroke-width: 1.2; }
.fill { fill: currentColor; opacity: .4; stroke: none; }
polygon.fill.c6 { opacity: .3; }
.c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); }
.c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); } .c8 { color: var(--c8); }
.moment line { stroke: var(--bad); stroke-width: 1.2; stroke-dasharray: 3 3; }
.moment text { fill: var(--bad); font-size: 10.5px; font-weight: 600; text-anchor: middle; }
.moment.end line { stroke: var(--c6); }
.moment.end text { fill: var(--dim); }
.hit { fill: transparent; }
.hit:hover { fill: var(--hover); }
.moments { list-style: none; padding: 0; margin: 14px 0 0; font-size: .86rem; columns: 300px; column-gap: 26px; }
.moments li { break-inside: avoid; padding-left: 1.9em; text-indent: -1.9em; }
.moments b { display: inline-block; min-width: 1.6em; text-indent: 0; margin-right: .3em; color: var(--bad); }
.swatch { display: inline-block; width: 1.3em; height: .9em; vertical-align: -.1em; background: var(--judged); border: 1px solid var(--rule); }
summary { cursor: pointer; }
pre { white-space: pre-wrap; margin: 8px 0 0; font-size: .8rem; }
footer { color: var(--dim); font-size: .84rem; margin-top: 18px; }
@media (max-width: 640px) {
  main { padding: 14px 10px 28px; }
  section, .verdict { padding: 14px 12px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 6px; }
  table.stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.stack tbody tr { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); padding: 8px 0; border-bottom: 1px solid var(--rule); }
  table.stack tbody tr:last-child { border-bottom: 0; }
  table.stack th, table.stack td { border: 0; padding: 1px 6px 1px 0; }
  table.stack tbody th, table.stack .wide { grid-column: 1 / -1; }
  table.stack .number { text-align: left; white-space: normal; }
  table.stack td[data-label]::before { content: attr(data-label); display: block; color: var(--dim); font-size: .76rem; font-weight: 400; }
  table.stack tr.group { padding-bottom: 0; border: 0; }
  table.stack .found > :first-child { box-shadow: none; }
  table.stack tr.found { box-shadow: inset 3px 0 var(--bad); padding-left: 10px; }
}
@media print {
  :root {
    --page: #fff; --card: #fff; --ink: #000; --dim: #444; --rule: #bbb; --grid: #ddd; --judged: #2563eb14;
    --good: #157f3c; --bad: #c0261c; --doubt: #9a6200; --good-back: #fff; --bad-back: #fff; --doubt-back: #fff;
    --c1: #2563eb; --c2: #d9660a; --c3: #0b8f80; --c4: #8b3fd1; --c5: #d22f27; --c6: #94a1b3; --c7: #46505e; --c8: #b0306f;
  }
  body { font-size: 11pt; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  section, .verdict, .tiles li { border-radius: 0; }
  section { border-width: 1px 0 0; padding: 12px 0; }
  tr, figure, .tiles { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
