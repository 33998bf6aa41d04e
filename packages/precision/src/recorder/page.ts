import { driftsOf, limitsOf } from './drift.ts';
import { BINS } from './exponents.ts';
import { KINDS, type Recording } from './recording.ts';

/** Rows of the table; the page's search box finds the others. */
const LISTED = 400;

/**
 * One HTML page, with nothing outside it: a table of layers by their headroom, and for each a map of its exponents over
 * the run, with the format's limits.
 */
export function recordingPage(recording: Recording, title: string): string {
  const data = {
    title,
    dtype: recording.dtype,
    limits: limitsOf(recording.dtype),
    layers: recording.layers,
    kinds: KINDS,
    bins: BINS,
    samples: recording.samples.map(({ window, scale, skipped, bins }) => ({
      window,
      scale,
      skipped,
      bins: Buffer.from(bins).toString('base64'),
    })),
    drifts: driftsOf(recording)
      .slice(0, LISTED)
      .map((drift) => ({ ...drift, headroom: finiteOr(drift.headroom), last: finiteOr(drift.last) })),
  };
  // `<` cannot end the script element from within a string.
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  return `${HEAD.replaceAll('TITLE', () => escapeHtml(title))}<script type="application/json" id="data">${json}</script>\n<script>${SCRIPT}</script>\n</body></html>\n`;
}

/** JSON has no infinities: the page shows text for them. */
function finiteOr(value: number | null): number | string | null {
  if (value === null || Number.isFinite(value)) return value;
  return value > 0 ? 'not finite' : 'overflow';
}

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const HEAD = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; --line: #8884; --warn: #c62828; --soft: #8888; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; }
p { margin: .3rem 0 1rem; max-width: 60rem; }
input { font: inherit; padding: .3rem .6rem; width: 20rem; margin-bottom: .6rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tbody tr { cursor: pointer; } tbody tr:hover, tbody tr.open { background: #8882; }
td.warn { color: var(--warn); font-weight: 600; }
figure { margin: .4rem 0 .8rem; } figcaption { color: var(--soft); font-size: 12px; }
canvas { width: 100%; height: 260px; display: block; }
</style></head><body>
<h1>TITLE</h1>
<p id="about"></p>
<input id="find" type="search" placeholder="find a layer" aria-label="find a layer">
<table><thead><tr><th>layer</th><th>values</th><th>top, first</th><th>top, last</th><th>headroom</th><th>drift / 1000 steps</th><th>steps left</th><th>vanished</th></tr></thead><tbody></tbody></table>
`;

const SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent);
const bytes = data.samples.map((s) => Uint8Array.from(atob(s.bins), (c) => c.charCodeAt(0)));
const LOW = -32, WIDTH = 2, INNER = data.bins - 4;
const skips = data.samples.filter((s) => s.skipped).length;
const span = data.samples.length ? data.samples[0].window + ' to ' + data.samples[data.samples.length - 1].window : 'none';
document.getElementById('about').textContent = data.samples.length + ' samples, steps ' + span + ', ' + data.dtype +
  (skips ? ', ' + skips + ' of them skipped' : '') +
  '. Exponents are powers of two: a top of 16 means magnitudes up to 2^16. Headroom is what is left to the end of ' + data.dtype +
  '; vanished is the share of the last sample that is too small for it. A row opens the layer\\u2019s map.';
const body = document.querySelector('tbody');
const text = (v, digits) => v === null ? '\\u2013' : typeof v === 'string' ? v : digits === undefined ? String(v) : v.toFixed(digits);
function row(d) {
  const tr = document.createElement('tr');
  const cells = [(d.layer || '(model)') + (d.part ? ' (' + d.part + ')' : ''), d.kind, text(d.first), text(d.last), text(d.headroom), text(d.slope, 2), text(d.stepsLeft), (100 * d.vanished).toFixed(2) + ' %'];
  cells.forEach((cell, i) => {
    const td = document.createElement('td');
    td.textContent = cell;
    if ((i === 4 && (typeof d.headroom === 'string' || (d.headroom !== null && d.headroom <= 2))) || (i === 7 && d.vanished > 0.5)) td.className = 'warn';
    tr.append(td);
  });
  tr.onclick = () => toggle(tr, d);
  return tr;
}
function toggle(tr, d) {
  if (tr.classList.toggle('open')) {
    const place = document.createElement('tr'), cell = document.createElement('td');
    cell.colSpan = 8; place.append(cell); tr.after(place);
    const figure = document.createElement('figure'), canvas = document.createElement('canvas'), caption = document.createElement('figcaption');
    caption.textContent = 'Exponents of the ' + d.kind + ' of ' + (d.layer || 'the model') + ' over the steps; darker is more. Red: the end of ' + data.dtype + '. Orange: below it numbers lose digits. Grey: below it they vanish. Ticks at the bottom: skipped steps.';
    figure.append(canvas, caption); cell.append(figure); draw(canvas, d);
  } else tr.nextSibling.remove();
}
function draw(canvas, d) {
  const ratio = devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight, left = 44, bottom = 22;
  canvas.width = w * ratio; canvas.height = h * ratio;
  const g = canvas.getContext('2d'); g.scale(ratio, ratio);
  const ink = getComputedStyle(document.body).color;
  const at = (data.layers.indexOf(d.layer) * data.kinds.length + data.kinds.indexOf(d.kind)) * data.bins;
  const steps = data.samples.map((s) => s.window), rows = INNER + 2, rh = (h - bottom) / rows;
  const gap = steps.length > 1 ? steps[steps.length - 1] - steps[steps.length - 2] : 1;
  const end = steps[steps.length - 1] + gap, place = (step) => left + (w - left) * (step - steps[0]) / (end - steps[0]);
  const y = (exponent) => h - bottom - (exponent - LOW + WIDTH) / WIDTH * rh;
  bytes.forEach((sample, i) => {
    const x = place(steps[i]), width = Math.max(place(i + 1 < steps.length ? steps[i + 1] : end) - x, 1);
    for (let bin = 1; bin < data.bins; bin++) {
      const value = sample[at + bin];
      if (!value) continue;
      const line = Math.min(bin - 1, rows - 1);
      g.fillStyle = bin === data.bins - 1 ? '#c62828' : 'hsl(212 80% ' + (78 - 50 * value / 255) + '% / ' + (0.15 + 0.85 * value / 255) + ')';
      g.fillRect(x, h - bottom - (line + 1) * rh, width + 0.5, rh + 0.5);
    }
    if (data.samples[i].skipped) { g.fillStyle = '#c62828'; g.fillRect(x, h - bottom + 1, Math.max(width, 2), 4); }
  });
  g.font = '11px system-ui'; g.textBaseline = 'middle'; g.fillStyle = ink; g.textAlign = 'right';
  for (let e = LOW; e <= 32; e += 8) g.fillText('2^' + e, left - 6, y(e));
  for (const [e, colour] of [[data.limits.top, '#c62828'], [data.limits.normal, '#ef6c00'], [data.limits.bottom, '#777']]) {
    if (e < LOW || e > 32) continue;
    g.strokeStyle = colour; g.beginPath(); g.moveTo(left, y(e)); g.lineTo(w, y(e)); g.stroke();
  }
  g.fillStyle = ink;
  for (let i = 0; i <= 5; i++) {
    const step = Math.round(steps[0] + (end - steps[0]) * i / 5);
    g.textAlign = i === 0 ? 'left' : i === 5 ? 'right' : 'center';
    g.fillText(String(step), place(step), h - 7);
  }
}
function show(word) {
  const found = data.drifts.filter((d) => (d.layer + ' ' + d.part + ' ' + d.kind).includes(word));
  body.replaceChildren(...found.map(row));
  if (body.firstChild && !word) body.firstChild.click();
}
document.getElementById('find').oninput = (event) => show(event.target.value.trim());
show('');
`;
