"""The look of the report: one style sheet, light and dark by the reader's wish, wide and narrow screens, paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #1b1f24; --soft: #59636e; --line: #d9dee4; --inset: #eef0f3;
  --accent: #2f6fb3; --bar: #7aa7d9; --cached: #b9c6d3;
  --pass: #1a7f45; --pass-back: #e1f4e8; --warn: #8a5a00; --warn-back: #fdf0d3;
  --fail: #b3261e; --fail-back: #fde4e2; --skipped: #59636e; --skipped-back: #e9ecef;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1d2126; --ink: #e7eaee; --soft: #9aa5b1; --line: #323942; --inset: #262b32;
    --accent: #7db4ee; --bar: #3f6fa3; --cached: #4a5560;
    --pass: #7ddba2; --pass-back: #16351f; --warn: #f2c265; --warn-back: #3b2d0c;
    --fail: #ff9b93; --fail-back: #44191a; --skipped: #9aa5b1; --skipped-back: #2b3138;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 2px 0 0; overflow-wrap: anywhere; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 14px; }
p { margin: 0; }
a { color: var(--accent); }
.kicker, .soft, figcaption, caption { color: var(--soft); }
.kicker { font-size: 12px; text-transform: uppercase; letter-spacing: 0.08em; }
.mono, code, pre { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: 12.5px; }
header { display: flex; gap: 24px; align-items: flex-start; justify-content: space-between; flex-wrap: wrap; }
header .soft { margin-top: 6px; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px; margin-top: 20px;
}
.state { border-radius: 12px; padding: 12px 18px; max-width: 460px; }
.state strong { display: block; font-size: 17px; }
.pass { color: var(--pass); background: var(--pass-back); }
.warn { color: var(--warn); background: var(--warn-back); }
.fail { color: var(--fail); background: var(--fail-back); }
.skipped { color: var(--skipped); background: var(--skipped-back); }
.pill {
  display: inline-block; border-radius: 999px; padding: 1px 10px;
  font-size: 12.5px; font-weight: 600; white-space: nowrap;
}
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px; background: var(--inset); }
figcaption { font-size: 13px; margin-top: 6px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
.pictures { display: grid; grid-template-columns: 8fr 5fr; gap: 20px; align-items: start; }
.wide { margin-top: 20px; }
.panels { display: grid; grid-template-columns: repeat(3, 1fr); text-align: center; }
.cards { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; margin-top: 16px; }
.cards div { background: var(--inset); border-radius: 10px; padding: 10px 14px; }
.cards dt { color: var(--soft); font-size: 13px; }
.cards dd { margin: 2px 0 0; font-size: 17px; font-weight: 600; line-height: 1.25; }
.cards dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
dl { margin: 0; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 28px; }
.textures { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 16px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
caption { text-align: left; font-size: 13px; padding-bottom: 8px; }
th, td { text-align: left; vertical-align: top; padding: 8px 12px 8px 0; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; font-size: 12.5px; border-top: 0; padding-top: 0; }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
.rule { color: var(--soft); display: block; }
.track {
  display: block; background: var(--inset); border-radius: 4px;
  height: 10px; min-width: 60px; margin-top: 6px; overflow: hidden;
}
.track span { display: block; height: 100%; background: var(--bar); border-radius: 4px; min-width: 2px; }
.track span.cached { background: var(--cached); }
ul.notes { margin: 0; padding-left: 18px; }
ul.notes li { margin: 4px 0; }
details { margin-top: 16px; }
summary { cursor: pointer; color: var(--accent); font-weight: 500; }
pre { background: var(--inset); border-radius: 8px; padding: 14px; overflow-x: auto; margin: 10px 0 0; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 6px 18px; font-size: 14px; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.break { overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 13px; margin-top: 24px; }
@media (max-width: 760px) {
  main { padding: 20px 14px 40px; }
  section { padding: 18px 16px; }
  h1 { font-size: 25px; }
  .pictures, .columns { grid-template-columns: 1fr; }
  .textures { grid-template-columns: repeat(2, 1fr); }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 8px; }
  table.stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.stack tr { display: block; border-top: 1px solid var(--line); padding: 10px 0; }
  table.stack th, table.stack td { display: block; border: 0; padding: 1px 0; }
  table.stack td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
  table.stack td:empty { display: none; }
}
@media print { body { background: none; } section { break-inside: avoid; } details > * { display: block; } }
"""
