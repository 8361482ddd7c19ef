'use strict';
// Draws what is visible of the timeline. Bars of a line do not overlap, so the first visible one is found by bisection, and bars
// narrower than a pixel are passed over by bisection, too: a picture costs about as much as it has pixels.
const LABEL = 176, AXIS = 22, OVERVIEW = 26, GAP = 4, WAIT = 8, COUNTER = 26;
let BAR = 17; // height; more where there are few lines
const canvas = document.getElementById('canvas');
const pen = canvas.getContext('2d');
// All there is to see, in ns from the first submission: data.wall and the ranges and waits around that.
const whole = {from: data.from, span: Math.max(data.to - data.from, 1)};
const view = {...whole, top: 0, width: 0, height: 0, chain: true, counters: true};
const picked = {hover: -1, selected: -1, wait: -1, matches: [], isMatch: null, at: -1};
let colors = {};
const frames = {last: 0, count: 0};

// Lines from top to bottom: {y, height, row, track or waits or ranges}.
const lines = [], lineOfTrack = [];
let contentHeight = 0;
function layOut() {
  let y = 12;
  lines.length = 0;
  const tracksOfRow = new Map();
  data.tracks.forEach((track, i) => {
    if (!tracksOfRow.has(track[0])) tracksOfRow.set(track[0], []);
    tracksOfRow.get(track[0]).push(i);
  });
  data.rows.forEach((row, r) => {
    if (!row.used) return;
    let first = true;
    const add = (height, what) => {
      lines.push({y, height, row: r, first, ...what});
      first = false;
      y += height + 1;
    };
    for (const ranges of rangesOfRow.get(r) || []) add(17, {ranges});
    for (const track of tracksOfRow.get(r) || []) add(BAR, {track});
    for (const waits of waitsOfRow.get(r) || []) add(WAIT, {waits});
    if (first) add(BAR, {idle: true}); // a worker that had nothing to do
    y += GAP;
  });
  if (view.counters && counters.length > 0) {
    y += GAP;
    for (const counter of counters) {
      lines.push({y, height: COUNTER, first: true, counter});
      y += COUNTER + 3;
    }
  }
  contentHeight = y;
  for (const line of lines) if (line.track !== undefined) lineOfTrack[line.track] = line;
}

// Bars as high as there is room for.
function chooseHeight() {
  const room = view.height - AXIS - OVERVIEW - 28, n = Math.max(data.tracks.length, 1);
  BAR = Math.max(17, Math.min(30, Math.floor(room / n) - GAP - 1));
}

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['page', 'panel', 'ink', 'soft', 'line', 'grid', 'wait', 'chain', 'busy', 'focus', 'counter', 'fill'])
    colors[name] = style.getPropertyValue('--' + name).trim();
}

const right = () => view.width - 8;
const xOf = ns => LABEL + (ns - view.from) * (right() - LABEL) / view.span;
const nsOf = x => view.from + (x - LABEL) * view.span / (right() - LABEL);
const yOf = line => AXIS + OVERVIEW + line.y - view.top;

// First index in [low, high) whose entry of begins is not below ns.
function bisect(begins, low, high, ns) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (begins[middle] < ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

const fills = data.hues.map(hue => `hsl(${hue} 58% 62%)`);

function drawBars(line) {
  const [, , first, n] = data.tracks[line.track];
  const {begin, length, name} = column, stop = first + n, y = yOf(line);
  const nsPerPixel = view.span / (right() - LABEL), until = view.from + view.span;
  let i = bisect(begin, first, stop, view.from);
  if (i > first && begin[i - 1] + length[i - 1] >= view.from) i--;
  while (i < stop && begin[i] <= until) {
    const x = Math.max(xOf(begin[i]), LABEL), wide = Math.min(xOf(end(i)), right()) - x;
    const dim = picked.isMatch !== null && !picked.isMatch[name[i]];
    pen.globalAlpha = dim ? 0.2 : 1;
    pen.fillStyle = fills[name[i]];
    pen.fillRect(x, y, Math.max(wide, 1), line.height);
    if (column.status[i] !== 0) {
      pen.fillStyle = colors.wait;
      pen.fillRect(x, y + line.height - 3, Math.max(wide, 1), 3);
    }
    if (wide > 26 && line.height > 12) drawName(data.names[name[i]], x, wide, y + line.height / 2);
    pen.globalAlpha = 1;
    i = wide >= 1 ? i + 1 : Math.max(i + 1, bisect(begin, i + 1, stop, begin[i] + nsPerPixel));
  }
}

function drawName(text, x, wide, y, color = '#101216') {
  const fits = Math.floor((wide - 6) / 6.2);
  if (fits < 2) return;
  pen.fillStyle = color;
  pen.fillText(text.length > fits ? text.slice(0, fits - 1) + '…' : text, x + 3, y + 0.5);
}

function drawSpans(line, list, begins, lengths, fill, names) {
  const y = yOf(line);
  let last = -1;
  for (const i of list) {
    const x = Math.max(xOf(begins[i]), LABEL), wide = Math.min(xOf(begins[i] + lengths[i]), right()) - x;
    if (x > right() || x + wide < LABEL || (wide < 1 && x < last + 1)) continue;
    pen.fillStyle = fill;
    pen.fillRect(x, y + 1, Math.max(wide, 1), line.height - 1);
    if (names && wide > 26) drawName(data.names[names[i]], x, wide, y + line.height / 2, colors.ink);
    if (names && wide > 4) {
      pen.strokeStyle = colors.page;
      pen.lineWidth = 1;
      pen.strokeRect(x + 0.5, y + 0.5, wide, line.height);
    }
    last = x;
  }
}

// A counter as steps: each value stays until the next one. Where they are dense, a pixel shows its largest and its last.
function drawCounter(line) {
  const {first, stop, most} = line.counter, {counterAt: at, counterValue: value} = column;
  const bottom = yOf(line) + line.height, yAt = v => bottom - 1 - Math.max(0, v) / most * (line.height - 3);
  let i = Math.max(first, bisect(at, first, stop, view.from) - 1), x = Math.max(LABEL, xOf(at[i]));
  pen.beginPath();
  pen.moveTo(x, bottom);
  pen.lineTo(x, yAt(value[i]));
  const until = view.from + view.span;
  for (i++; i < stop && at[i] <= until; i++) {
    const next = xOf(at[i]);
    if (next >= LABEL) {
      pen.lineTo(next, yAt(value[i - 1]));
      pen.lineTo(next, yAt(value[i]));
      x = next;
    }
  }
  const ends = i < stop ? right() : Math.min(right(), Math.max(x, xOf(data.to)));
  pen.lineTo(ends, yAt(value[i - 1]));
  pen.lineTo(ends, bottom);
  pen.closePath();
  pen.fillStyle = colors.fill;
  pen.fill();
  pen.strokeStyle = colors.counter;
  pen.lineWidth = 1;
  pen.stroke();
  pen.fillStyle = colors.line;
  pen.fillRect(LABEL, bottom, right() - LABEL, 1);
}

// Calls fn(x, time, step) for the ticks of the axis.
function eachTick(fn) {
  const target = view.span / Math.max(1, (right() - LABEL) / 110);
  const power = 10 ** Math.floor(Math.log10(target));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= target);
  for (let at = Math.ceil(view.from / step) * step; at <= view.from + view.span; at += step) {
    if (xOf(at) >= LABEL) fn(xOf(at), at, step);
  }
}

function drawAxis() {
  pen.fillStyle = colors.panel;
  pen.fillRect(0, 0, view.width, AXIS);
  pen.fillStyle = colors.soft;
  eachTick((x, at, step) => {
    if (x < right() - 50) pen.fillText(tickText(at, step), x + 3, AXIS / 2 + 1);
  });
}

// A tick in the unit of the visible stretch, with just the digits that tell neighbours apart.
function tickText(at, step) {
  const size = Math.max(Math.abs(view.from), Math.abs(view.from + view.span));
  const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'us'], [1, 'ns']].find(u => size >= u[0]) || [1, 'ns'];
  const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step / unit) + 1e-9)));
  return (at / unit).toFixed(digits) + ' ' + name;
}

// The whole trace on a strip, with the visible part marked.
function drawOverview() {
  const y = AXIS, wide = right() - LABEL, n = data.parallel.length, most = Math.max(data.mostParallel, 1e-9);
  const stripX = ns => LABEL + (ns - whole.from) / whole.span * wide;
  pen.fillStyle = colors.page;
  pen.fillRect(0, y, view.width, OVERVIEW);
  pen.fillStyle = colors.busy;
  for (let i = 0; i < n; i++) {
    const height = data.parallel[i] / most * (OVERVIEW - 6);
    pen.fillRect(stripX(i * data.wall / n), y + OVERVIEW - 3 - height, data.wall / whole.span * wide / n + 0.5, height);
  }
  pen.strokeStyle = colors.focus;
  pen.lineWidth = 1.5;
  const x = stripX(Math.max(whole.from, view.from));
  const stop = stripX(Math.min(whole.from + whole.span, view.from + view.span));
  pen.strokeRect(x, y + 1, Math.max(stop - x, 2), OVERVIEW - 3);
  pen.fillStyle = colors.soft;
  pen.fillText('ops at a time', 8, y + OVERVIEW / 2);
}

function drawLabels() {
  pen.fillStyle = colors.page;
  pen.fillRect(0, AXIS + OVERVIEW, LABEL - 1, view.height);
  for (const line of lines) {
    const y = yOf(line);
    if (!line.first || y > view.height || y + line.height < AXIS + OVERVIEW) continue;
    if (line.counter) {
      pen.fillStyle = colors.soft;
      pen.fillText(line.counter.label.slice(0, 30), 8, y + 8, LABEL - 14);
      pen.fillText('most ' + line.counter.shown(line.counter.most), 8, y + 20, LABEL - 14);
      continue;
    }
    pen.fillStyle = ['waits', 'ranges'].includes(data.rows[line.row].kind) ? colors.soft : colors.ink;
    pen.fillText(data.rows[line.row].label.slice(0, 26), 8, y + line.height / 2 + 1, LABEL - 14);
  }
  pen.fillStyle = colors.line;
  pen.fillRect(LABEL - 1, AXIS, 1, view.height);
}

const middleOf = i => yOf(lineOfTrack[trackOf[i]]) + BAR / 2;

// Of an arrow from far outside only its last piece is drawn, and of one that leads there its first: a line across all bars in
// between would say nothing.
function drawArrow(from, to) {
  let x1 = xOf(end(from)), y1 = middleOf(from), x2 = xOf(column.begin[to]), y2 = middleOf(to);
  if (x1 < LABEL && x2 - x1 > 60) {
    x1 = x2 - 60;
    y1 = y2 + (y1 > y2 ? BAR : -BAR);
  }
  if (x2 > right() && x2 - x1 > 60) {
    x2 = x1 + 60;
    y2 = y1 + (y2 > y1 ? BAR : -BAR);
  }
  const bend = Math.max(10, Math.min(60, (x2 - x1) / 2));
  const arch = Math.abs(y2 - y1) < 1 && x2 - x1 > 8 ? BAR * 0.8 : 0; // over the bars between two of one line
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.bezierCurveTo(x1 + bend, y1 - arch, x2 - bend, y2 - arch, x2, y2);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - 5, y2 - 3);
  pen.lineTo(x2 - 5, y2 + 3);
  pen.fill();
}

// The part of the path that is visible: its ops follow each other in time. Where it is dense, one per pixel is enough.
function drawChain() {
  pen.strokeStyle = colors.chain;
  pen.lineWidth = 2.5;
  const path = column.path;
  let low = 0, high = path.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (end(path[middle]) < view.from) low = middle + 1;
    else high = middle;
  }
  pen.beginPath();
  let last = -1e9;
  for (let k = Math.max(low - 1, 0); k < path.length; k++) {
    const x1 = xOf(column.begin[path[k]]), x2 = xOf(end(path[k]));
    if (x2 >= last + 1 || k + 1 === path.length) {
      const y = middleOf(path[k]) + BAR / 2 - 1;
      if (last === -1e9) pen.moveTo(x1, y);
      pen.lineTo(x1, y);
      pen.lineTo(x2, y);
      last = x2;
    }
    if (x1 > view.width) break;
  }
  pen.stroke();
}

function drawPicked() {
  for (const i of new Set([picked.selected, picked.hover])) {
    if (i < 0) continue;
    pen.strokeStyle = pen.fillStyle = colors.ink;
    pen.lineWidth = 1.2;
    for (let j = firstAfter[i]; j < firstAfter[i + 1]; j++) if (column.after[j] > 0) drawArrow(column.after[j] - 1, i);
    pen.strokeStyle = pen.fillStyle = colors.focus;
    for (let j = firstBefore[i]; j < firstBefore[i + 1] && j < firstBefore[i] + 200; j++) drawArrow(i, before[j]);
    const x = xOf(column.begin[i]);
    pen.strokeStyle = colors.ink;
    pen.lineWidth = 2;
    pen.strokeRect(x, middleOf(i) - BAR / 2, Math.max(xOf(end(i)) - x, 2), BAR);
  }
}

function drawAll() {
  const began = performance.now();
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.font = '11.5px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.fillStyle = colors.page;
  pen.fillRect(0, 0, view.width, view.height);
  pen.fillStyle = colors.grid;
  eachTick(x => pen.fillRect(x, AXIS + OVERVIEW, 1, view.height));
  pen.save();
  pen.beginPath();
  pen.rect(LABEL, AXIS + OVERVIEW, right() - LABEL, view.height);
  pen.clip();
  for (const line of lines) {
    const y = yOf(line);
    if (y > view.height || y + line.height < AXIS + OVERVIEW) continue;
    if (line.counter) drawCounter(line);
    else if (line.track !== undefined) drawBars(line);
    else if (line.idle) continue;
    else if (line.waits) drawSpans(line, line.waits, column.waitBegin, column.waitLength, colors.wait, null);
    else drawSpans(line, line.ranges, column.rangeBegin, column.rangeLength, colors.line, column.rangeName);
  }
  if (view.chain) drawChain();
  drawPicked();
  pen.restore();
  drawLabels();
  drawAxis();
  if (data.to > data.from) drawOverview();
  frames.last = performance.now() - began;
  frames.count++;
}
