"""How a report looks: on a desk, a phone and on paper."""

STYLE = """\
:root { color-scheme: light; --ink: #1d232b; --soft: #5b6570; --line: #d9dee4; --link: #0b5cad }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 2rem 3rem; background: #fff }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 1rem }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .6rem; padding-top: 1rem;
  border-top: 1px solid var(--line) }
h3 { font-size: 1.08rem; margin: 1.6rem 0 .4rem }
h4 { font-size: 1rem; margin: 1.2rem 0 .3rem }
p, ul, dl { max-width: 46rem; margin: .6rem 0 }
a { color: var(--link) }
.notice { padding: .6rem .9rem; background: #fff7e0; border-left: 4px solid #e0a100 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: .8rem 0; font-size: .94rem }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem;
  max-width: calc(100vw - 2rem) }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top }
th { font-weight: 600; white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums;
  padding: .35rem .9rem .35rem .6rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .94rem }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
figure { margin: 1rem 0 }
figure img { display: block; max-width: 100%; height: auto; border-radius: 4px }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; max-width: 46rem }
.beside { display: grid; column-gap: 1.2rem; align-items: start }
.beside.of2 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)) }
.beside.of3 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)) }
.beside.of4 { grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)) }
.beside figure { margin: .6rem 0; min-width: 0 }
.beside img { width: 100% }
.zoom .scroll { scrollbar-width: none }
.zoombar { display: flex; gap: .4rem; align-items: center; color: var(--soft); font-size: .86rem }
.zoombar button { font: inherit; padding: 0 .6rem; border: 1px solid var(--line);
  border-radius: 4px; background: #fff; color: var(--ink); cursor: pointer }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .86rem; margin: .6rem 0;
  padding: .8rem 1rem; background: #f4f6f8 }
details { margin: .8rem 0 }
summary { cursor: pointer; color: var(--link) }
.badge { display: inline-block; padding: 0 .55em; border-radius: 1em; white-space: nowrap;
  background: #e8ecf0 }
.badge.good { background: #d8efdc; color: #14532d }
.badge.attention { background: #ffe3c2; color: #7a3b00 }
footer { max-width: 72rem; margin: 0 auto; padding: 1rem 2rem 2rem; color: var(--soft);
  font-size: .9rem }
@media (max-width: 46rem) {
  main, footer { padding-left: 1rem; padding-right: 1rem }
  h1 { font-size: 1.4rem }
  ul { padding-left: 1.4rem }
  table { font-size: .84rem }
  th, td { padding-right: .7rem }
  .number { padding: .35rem .7rem .35rem .2rem }
  figure.wide img { max-width: none; width: 56rem }
  dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .5rem }
}
@media print {
  html, body { font-size: 12px }
  body, main { background: none }
  main, footer { max-width: none; padding: 0 }
  h1, h2, h3, h4, caption, thead, summary { break-after: avoid }
  p:has(+ figure), p:has(+ .beside), p:has(+ .scroll) { break-after: avoid }
  figure, tr, .notice, .of3 { break-inside: avoid }
  details > *:not(summary) { display: block }
  details::details-content { content-visibility: visible; display: block }
  .scroll { overflow: visible }
  .zoombar { display: none }
}
"""
