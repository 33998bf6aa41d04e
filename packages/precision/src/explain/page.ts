import type { Explanation } from './explanation.ts';

/**
 * One HTML page with nothing outside it: totals, casts there and back, and the layers by cost, each with its
 * operators and, where measured, its gradients. The search box looks through layers, operators, dtypes and rules.
 */
export function explanationPage(explanation: Explanation, title: string): string {
  // `<` cannot end the script element from within a string.
  const json = JSON.stringify({ title, ...explanation }).replaceAll('<', '\\u003c');
  return `${HEAD.replaceAll('TITLE', () => escapeHtml(title))}<script type="application/json" id="data">${json}</script>\n<script>${SCRIPT}</script>\n</body></html>\n`;
}

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const HEAD = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; --line: #8884; --bar: #4a90d955; --warn: #c62828; --good: #2e7d32; --soft: #808080; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 62rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.tile { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; }
.tile b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 12px; }
input { font: inherit; padding: .3rem .6rem; width: 22rem; margin-bottom: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } .n { text-align: right; white-space: nowrap; }
tr.layer { cursor: pointer; } tr.layer:hover { background: #8881; } tr.layer > td:first-child::before { content: '\\25b8\\00a0'; color: var(--soft); }
tr.layer.open > td:first-child::before { content: '\\25be\\00a0'; }
tr.op td { font-size: 13px; border-bottom-style: dotted; } tr.op td:first-child { padding-left: 2rem; }
.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left / var(--w) 100%; }
.warn { color: var(--warn); } .good { color: var(--good); } .soft { color: var(--soft); }
code { font: 12px ui-monospace, monospace; }
</style></head><body>
<h1>TITLE</h1>
<p id="about"></p>
<div class="tiles" id="tiles"></div>
<div id="detours"></div>
<h2>Layers by cost</h2>
<input id="find" type="search" placeholder="layer, operator, dtype, rule …" aria-label="search">
<table><thead><tr><th>layer</th><th>dtypes</th><th>rule</th><th class="n">ms</th><th class="n">step</th><th class="n">casts</th><th class="n">MB</th><th class="n">cast ms</th><th>matrix unit</th></tr></thead><tbody id="layers"></tbody></table>
<div id="gradients"></div>
`;

const SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent);
const make = (tag, text, kind) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; };
const ms = (s) => (s * 1000).toFixed(2), mb = (b) => (b / 1e6).toFixed(b < 1e5 ? 3 : 1), share = (p) => (100 * p).toFixed(1) + ' %';
const name = (n) => n === '' ? '(model)' : n, plain = (op) => op.replace(/^\\w+::/, '');
const FLOATS = ['float64', 'float32', 'bfloat16', 'float16'], float = (all) => all.find((d) => FLOATS.includes(d));
const chain = (o) => [float(o.in), float(o.computed), o.out].filter((d, i, all) => d && d !== all[i - 1]).join(' \\u2192 ');
const t = data.totals, p = data.precision;
document.getElementById('about').textContent = 'One ' + (data.backward ? 'training step' : 'forward pass') + ' in ' + p.dtype + ' on ' + p.device + (p.scale === 1 ? '' : ', loss scale ' + p.scale) + '. ' + data.machine + '. Times are those of operators, without the observer.';
const tile = (value, label) => { const e = make('div', undefined, 'tile'); e.append(make('b', value), make('span', label)); document.getElementById('tiles').append(e); };
tile(ms(t.seconds) + ' ms', 'in operators');
Object.entries(t.byDtype).sort((a, b) => b[1] - a[1]).forEach(([d, s]) => tile(share(t.seconds ? s / t.seconds : 0), d === 'no floats' ? 'without floats' : 'computed in ' + d));
tile(ms(t.castSeconds) + ' ms', t.casts + ' casts, ' + mb(t.castBytes) + ' MB, ' + share(t.castShare));
tile(t.products.countOnUnits + ' of ' + t.products.count, 'convolutions and products on matrix units');
const detours = document.getElementById('detours');
detours.append(make('h2', 'Cast back and forth'));
if (!data.detours.length) detours.append(make('p', 'No data is cast back and forth.'));
for (const d of data.detours) {
  const e = make('p');
  e.append(make('b', d.from + ' \\u2192 ' + d.to + ' \\u2192 ' + d.from + ': '), d.path.map((x) => plain(x.op) + ' (' + name(x.layer) + ')').join(' \\u2192 '), make('br'),
    make('span', d.because + '; ' + mb(d.bytes) + ' MB, ' + ms(d.seconds) + ' ms. ' + d.advice + (d.override ? ': ' : ''), 'soft'));
  if (d.override) e.append(make('code', JSON.stringify(d.override)));
  detours.append(e);
}
const body = document.getElementById('layers'), open = new Set();
const dearest = Math.max(...data.layers.map((l) => l.share), 1e-9);
function cells(tr, values, part) {
  values.forEach(([text, kind], i) => { const td = make('td', text, kind); if (i === 4) { td.classList.add('bar'); td.style.setProperty('--w', 100 * part / dearest + '%'); } tr.append(td); });
  return tr;
}
const unit = (u) => u ? (u.use === 'no' ? 'no ' + u.unit : u.use === 'converted' ? u.unit + ', copied' : u.unit) + (u.reasons.length ? ': ' + u.reasons.join('; ') : '') : '';
const kind = (u) => u ? u.use === 'no' ? 'warn' : u.use === 'yes' ? 'good' : '' : '';
function opRow(o) {
  const tr = cells(make('tr', undefined, 'op'), [[plain(o.op) + (o.phase === 'backward' ? ' \\u2190 ' + plain(o.forwardOp || 'backward') : '') + (o.count > 1 ? ' \\u00d7' + o.count : '')], [chain(o)], [o.rule], [ms(o.seconds), 'n'], [share(o.share), 'n'], [o.casts || '', 'n'], [o.casts ? mb(o.castBytes) : '', 'n'], [o.casts ? ms(o.castSeconds) : '', 'n'], [unit(o.unit), kind(o.unit)]], o.share);
  tr.title = o.why + '\\n' + o.shapes.map((s) => '[' + s.join(', ') + ']').join(' ');
  return tr;
}
const words = (l, o) => [name(l.name), l.type || '', o ? o.op : '', o ? o.phase : '', o ? o.in.join(' ') + ' ' + o.out : '', o ? o.rule : '', o ? unit(o.unit) : ''].join(' ').toLowerCase();
function show() {
  const word = document.getElementById('find').value.trim().toLowerCase(), rows = [];
  for (const l of [...data.layers].sort((a, b) => b.seconds - a.seconds)) {
    const own = words(l).includes(word);
    const ops = l.ops.filter((o) => own || words(l, o).includes(word)).sort((a, b) => b.seconds - a.seconds);
    if (!own && !ops.length) continue;
    const dtypes = [...new Set(l.ops.map((o) => float(o.computed)).filter(Boolean))].join(', ');
    const rules = [...new Set(l.ops.filter((o) => o.phase === 'forward' && o.rule !== 'no floats').map((o) => o.rule))].join(', ');
    const units = l.ops.map((o) => o.unit).filter(Boolean), worst = units.find((u) => u.use === 'no') || units.find((u) => u.use === 'converted') || units[0];
    const tr = cells(make('tr', undefined, 'layer'), [[name(l.name)], [dtypes], [rules], [ms(l.seconds), 'n'], [share(l.share), 'n'], [l.casts || '', 'n'], [l.casts ? mb(l.castBytes) : '', 'n'], [l.casts ? ms(l.castSeconds) : '', 'n'], [unit(worst), kind(worst)]], l.share);
    if (l.type) tr.firstChild.append(' ', make('span', l.type, 'soft'));
    const shown = open.has(l.name) || (word !== '' && !own);
    if (shown) tr.classList.add('open');
    tr.onclick = () => { if (!open.delete(l.name)) open.add(l.name); show(); };
    rows.push(tr, ...(shown ? ops.map(opRow) : []));
  }
  body.replaceChildren(...rows);
}
document.getElementById('find').oninput = show;
show();
const like = (g) => g.cosine ?? (g.norm.float32 === 0 && g.norm.low === 0 ? 2 : -2);
const found = data.layers.filter((l) => l.gradient).map((l) => l.gradient).sort((a, b) => like(a) - like(b));
if (found.length) {
  const place = document.getElementById('gradients'), table = make('table'), head = make('tr');
  place.append(make('h2', 'Gradients: float32 against ' + p.dtype + ', the least alike first'),
    make('p', 'Too small, too large: of the float32 gradient times the loss scale, what the format cannot hold. Lost, not finite: what came out as zero, or as infinity or NaN, in ' + p.dtype + '.'));
  ['layer', 'cosine', 'norm', 'norm in ' + p.dtype, 'too small', 'lost', 'too large', 'not finite'].forEach((h, i) => head.append(make('th', h, i ? 'n' : '')));
  table.append(head);
  for (const g of found) {
    const tr = make('tr');
    [[name(g.layer)], [g.cosine === null ? '\\u2013' : g.cosine.toFixed(5), 'n' + (g.cosine !== null && g.cosine < 0.99 ? ' warn' : '')], [g.norm.float32 === null ? '\\u2013' : g.norm.float32.toExponential(2), 'n'], [g.norm.low === null ? '\\u2013' : g.norm.low.toExponential(2), 'n'],
      [share(g.underflow.float32), 'n'], [share(g.underflow.low), 'n'], [share(g.overflow.float32), 'n'], [share(g.overflow.low), 'n' + (g.overflow.low > 0 ? ' warn' : '')]].forEach(([text, k]) => tr.append(make('td', text, k)));
    table.append(tr);
  }
  place.append(table);
}
`;
