'use strict';
// Reads the data block: columns of numbers, one entry per op, sorted so that each line of the picture is one stretch of them.
const loadBegan = performance.now();
const data = JSON.parse(document.getElementById('data').textContent);
document.getElementById('data').remove();

function decode(column) {
  const text = atob(column.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const kinds = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array};
  return new kinds[column.type](bytes.buffer);
}

const column = {};
for (const key of Object.keys(data)) {
  if (data[key] === null || data[key].type === undefined) continue;
  column[key] = decode(data[key]);
  delete data[key];
}

// Ops that an op waited for are after[firstAfter[i]] to after[firstAfter[i + 1]], as index + 1; 0 is one that was not recorded.
const firstAfter = new Uint32Array(data.ops + 1);
for (let i = 0; i < data.ops; i++) firstAfter[i + 1] = firstAfter[i] + column.nAfter[i];

// The other way round: who waited for an op.
const firstBefore = new Uint32Array(data.ops + 1);
const before = new Uint32Array(column.after.length);
for (const p of column.after) if (p > 0) firstBefore[p]++;
for (let i = 0; i < data.ops; i++) firstBefore[i + 1] += firstBefore[i];
{
  const next = firstBefore.slice();
  for (let i = 0; i < data.ops; i++)
    for (let j = firstAfter[i]; j < firstAfter[i + 1]; j++)
      if (column.after[j] > 0) before[next[column.after[j] - 1]++] = i;
}

const inPath = new Uint8Array(data.ops);
for (const i of column.path) inPath[i] = 1;

const end = i => column.begin[i] + column.length[i];

// The line of the picture that an op lies in: tracks are [row, depth, first op, number of ops].
const trackOf = new Uint32Array(data.ops);
data.tracks.forEach(([, , first, n], track) => trackOf.fill(track, first, first + n));

// Host waits and ranges of the program are few: per row, a list of their indexes for each depth of nesting.
function spansByRow(rows, begins, lengths) {
  const found = new Map(), open = [];
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && rows[i] !== rows[i - 1]) open.length = 0;
    while (open.length > 0 && begins[open.at(-1)] + lengths[open.at(-1)] <= begins[i]) open.pop();
    if (!found.has(rows[i])) found.set(rows[i], []);
    const depths = found.get(rows[i]);
    if (depths.length <= open.length) depths.push([]);
    depths[open.length].push(i);
    open.push(i);
  }
  return found;
}
const waitsOfRow = spansByRow(column.waitRow, column.waitBegin, column.waitLength);
const rangesOfRow = spansByRow(column.rangeRow, column.rangeBegin, column.rangeLength);

// Counters: {name, first, stop} of the columns, in the order of time.
const counters = [];
for (let i = 0; i < column.counterName.length; i++) {
  if (i === 0 || column.counterName[i] !== column.counterName[i - 1]) {
    const label = data.names[column.counterName[i]];
    const shown = label.includes('bytes') ? bytesText : label.includes('%') ? value => value + ' %' : String;
    counters.push({label, first: i, stop: i, most: 1, shown});
  }
  const last = counters.at(-1);
  last.stop = i + 1;
  last.most = Math.max(last.most, column.counterValue[i]);
  if (last.label.includes('%')) last.most = 100;
}

function rateText(rate) {
  return rate <= 0 ? '-' : rate < 0.005 ? '<0.01' : rate.toFixed(rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0);
}

function timeText(ns) {
  const size = Math.abs(ns);
  for (const [unit, name] of [[1e9, 's'], [1e6, 'ms'], [1e3, 'us']]) {
    if (size < unit * 0.9995) continue;
    const value = ns / unit;
    return value.toFixed(size / unit < 9.995 ? 2 : size / unit < 99.95 ? 1 : 0) + ' ' + name;
  }
  return Math.round(ns) + ' ns';
}

function bytesText(bytes) {
  for (const [unit, name] of [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']])
    if (Math.abs(bytes) >= unit) return (bytes / unit).toFixed(1) + ' ' + name;
  return bytes + ' B';
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'style') node.style.cssText = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
