'use strict';
// Zoom, pan, hover, search, keys.
const tip = document.getElementById('tip'), search = document.getElementById('search');
let pending = false;

function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    drawAll();
  });
}

function clampView() {
  const least = whole.from - 0.01 * whole.span, most = 1.02 * whole.span;
  view.span = Math.min(Math.max(view.span, 20), most);
  view.from = Math.min(Math.max(view.from, least), least + most - view.span);
  if (view.span >= most) view.from = least;
  const hidden = Math.max(0, contentHeight + AXIS + OVERVIEW + 8 - view.height);
  view.top = Math.min(Math.max(view.top, 0), hidden);
  tip.hidden = true; // what it tells of has moved
  redraw();
}

function zoom(factor, x) {
  const at = nsOf(x);
  view.span *= factor;
  view.span = Math.min(Math.max(view.span, 20), 1.02 * whole.span);
  view.from = at - (x - LABEL) * view.span / (right() - LABEL);
  clampView();
}

function pan(pixels) {
  view.from += pixels * view.span / (right() - LABEL);
  clampView();
}

function fit() {
  view.from = whole.from - 0.01 * whole.span;
  view.span = 1.02 * whole.span;
  clampView();
}

function resize() {
  const box = canvas.parentElement.getBoundingClientRect();
  view.width = box.width;
  view.height = box.height;
  canvas.width = Math.round(box.width * devicePixelRatio);
  canvas.height = Math.round(box.height * devicePixelRatio);
  chooseHeight();
  layOut();
  clampView();
}

// --- hover ---

function spanAt(list, begins, lengths, ns, slack) {
  return list.findLast(i => begins[i] <= ns + slack && begins[i] + lengths[i] >= ns - slack) ?? -1;
}

// The op, host wait, range or counter's value under the pointer.
function at(x, y) {
  const none = {op: -1, wait: -1, range: -1, counter: null, value: -1};
  if (x < LABEL || y < AXIS + OVERVIEW) return none;
  const line = lines.find(l => y >= yOf(l) && y <= yOf(l) + l.height);
  if (line === undefined) return none;
  const ns = nsOf(x), slack = 2 * view.span / (right() - LABEL);
  if (line.idle) return none;
  if (line.counter) {
    const {first, stop} = line.counter;
    const value = bisect(column.counterAt, first, stop, ns + 1) - 1;
    return value < first ? none : {...none, counter: line.counter, value};
  }
  if (line.waits) return {...none, wait: spanAt(line.waits, column.waitBegin, column.waitLength, ns, slack)};
  if (line.ranges) return {...none, range: spanAt(line.ranges, column.rangeBegin, column.rangeLength, ns, 0)};
  const [, , first, n] = data.tracks[line.track];
  const i = bisect(column.begin, first, first + n, ns);
  let best = -1, distance = slack;
  for (const candidate of [i - 1, i]) {
    if (candidate < first || candidate >= first + n) continue;
    const far = Math.max(column.begin[candidate] - ns, ns - end(candidate), 0);
    if (far < distance || (far === 0 && best < 0)) {
      best = candidate;
      distance = far;
    }
  }
  return {...none, op: best};
}

function tipRow(name, value, more) {
  const tr = make('tr');
  tr.append(make('td', {}, name), make('td', {}, value));
  if (more !== undefined) tr.append(make('td', {}, more));
  return tr;
}

const opText = i => `${data.names[column.name[i]]} #${column.id[i]}`;

// The op that finished last of those it waited for: the one that made it ready.
function lastBefore(i) {
  let last = -1;
  for (let j = firstAfter[i]; j < firstAfter[i + 1]; j++) {
    const p = column.after[j] - 1;
    if (p >= 0 && (last < 0 || end(p) > end(last))) last = p;
  }
  return last;
}

function describeOp(i) {
  const started = column.begin[i] - column.late[i], ready = started - column.queued[i];
  const submitted = ready - column.blocked[i], finished = started + column.ran[i];
  const table = make('table');
  table.append(tipRow('submitted', timeText(submitted)), tipRow('ready', timeText(ready), 'blocked ' + timeText(column.blocked[i])),
    tipRow('started', timeText(started), 'queued ' + timeText(column.queued[i])),
    tipRow('finished', timeText(finished), 'ran ' + timeText(column.ran[i])));
  const waited = firstAfter[i + 1] - firstAfter[i], last = lastBefore(i);
  const status = ['', ', failed', ', skipped'][column.status[i]];
  if (column.starved[i] > 0) table.append(tipRow('found no memory', timeText(started - column.starved[i]), 'waited ' + timeText(column.starved[i])));
  const work = [];
  if (column.moved[i] > 0) {
    const ns = Math.max(column.ran[i], 1), flops = column.flops[i] - 1, moved = column.moved[i] - 1;
    work.push(make('div', {}, `${rateText(flops / ns)} GFLOP/s, ${rateText(moved / ns)} GB/s: ` +
      `${flops.toLocaleString('en')} flops, ${bytesText(moved)} moved`));
  }
  if (column.note[i] > 0) work.unshift(make('div', {class: 'note'}, data.names[column.note[i]]));
  const more = make('div', {}, `reads ${column.reads[i]}, writes ${column.writes[i]}, takes ${bytesText(column.bytes[i])}` + status);
  const whom = make('div', {}, last >= 0 ? `waited for ${opText(last)}` + (waited > 1 ? ` and ${waited - 1} more` : '') :
    waited > 0 ? `waited for ${waited} that were not recorded` : 'waited for nobody');
  const parts = [make('b', {}, opText(i)), table, ...work, more, whom];
  if (inPath[i]) parts.push(make('div', {style: 'color:var(--chain)'}, 'on the critical path'));
  return parts;
}

function describeSpan(kind, name, begin, length) {
  const table = make('table');
  table.append(tipRow('from', timeText(begin)), tipRow('took', timeText(length)));
  return [make('b', {}, data.names[name]), make('div', {}, kind), table];
}

function showTip(x, y, parts) {
  tip.replaceChildren(...parts);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, view.width - box.width - 6)) + 'px';
  tip.style.top = (y + 18 + box.height < view.height ? y + 16 : Math.max(4, y - box.height - 12)) + 'px';
}

function hover(x, y) {
  const {op, wait, range, counter, value} = at(x, y);
  picked.hover = op;
  picked.wait = wait;
  if (op >= 0) showTip(x, y, describeOp(op));
  else if (wait >= 0)
    showTip(x, y, describeSpan('the host waited', column.waitName[wait], column.waitBegin[wait], column.waitLength[wait]));
  else if (range >= 0)
    showTip(x, y, describeSpan('range of the program', column.rangeName[range], column.rangeBegin[range], column.rangeLength[range]));
  else if (counter !== null)
    showTip(x, y, [make('b', {}, counter.label), make('div', {}, `${counter.shown(column.counterValue[value])} from ${timeText(column.counterAt[value])}`)]);
  else tip.hidden = true;
  redraw();
}

// --- search ---

function find(text) {
  search.value = text;
  const wanted = text.trim().toLowerCase();
  picked.matches = [];
  picked.isMatch = null;
  picked.at = -1;
  if (wanted.startsWith('#')) {
    const id = Number(wanted.slice(1));
    for (let i = 0; i < data.ops; i++) if (column.id[i] === id) picked.matches.push(i);
  } else if (wanted !== '') {
    picked.isMatch = data.names.map(name => name.toLowerCase().includes(wanted));
    for (let i = 0; i < data.ops; i++) if (picked.isMatch[column.name[i]]) picked.matches.push(i);
    picked.matches.sort((a, b) => column.begin[a] - column.begin[b]);
  }
  showFound();
  redraw();
}

function showFound() {
  const n = picked.matches.length;
  document.getElementById('found').textContent = search.value.trim() === '' ? '' : n === 0 ? 'none' :
    picked.at < 0 ? `${n} found` : `${picked.at + 1} of ${n}`;
}

function step(by) {
  const n = picked.matches.length;
  if (n === 0) return;
  picked.at = picked.at < 0 ? (by > 0 ? 0 : n - 1) : (picked.at + by + n) % n;
  const i = picked.matches[picked.at];
  picked.selected = i;
  if (column.length[i] * 20 < view.span || column.length[i] > view.span) view.span = Math.max(column.length[i] * 12, 1000);
  view.from = column.begin[i] + column.length[i] / 2 - view.span / 2;
  const line = lineOfTrack[trackOf[i]];
  if (yOf(line) < AXIS + OVERVIEW || yOf(line) + BAR > view.height) view.top = line.y - (view.height - AXIS - OVERVIEW) / 2;
  showFound();
  clampView();
}

// --- controls ---

function toggle(id, on) {
  document.getElementById(id).setAttribute('aria-pressed', String(on));
}

function toggleChain() {
  view.chain = !view.chain;
  toggle('chain', view.chain);
  redraw();
}

function toggleCounters() {
  view.counters = !view.counters;
  toggle('counters', view.counters);
  resize();
}

function toggleSummary() {
  const block = document.getElementById('summary');
  block.hidden = !block.hidden;
  toggle('fold', !block.hidden);
  resize();
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  readColors();
  redraw();
}

function onKey(event) {
  if (event.target === search) {
    if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape') {
      find('');
      canvas.focus();
    } else return;
    event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const middle = (LABEL + right()) / 2;
  const actions = {
    ArrowLeft: () => pan(-120), ArrowRight: () => pan(120), a: () => pan(-120), d: () => pan(120),
    ArrowUp: () => { view.top -= 60; clampView(); }, ArrowDown: () => { view.top += 60; clampView(); },
    '+': () => zoom(0.7, middle), '=': () => zoom(0.7, middle), '-': () => zoom(1 / 0.7, middle),
    0: fit, f: fit, c: toggleChain, k: toggleCounters, s: toggleSummary, t: toggleTheme, '/': () => search.select(),
    n: () => step(1), N: () => step(-1),
    Escape: () => { picked.selected = -1; redraw(); },
  };
  if (actions[event.key] === undefined) return;
  actions[event.key]();
  event.preventDefault();
}

function onWheel(event) {
  event.preventDefault();
  const scale = event.deltaMode === 1 ? 30 : 1;
  if (event.shiftKey) pan((event.deltaY + event.deltaX) * scale);
  else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX * scale);
  else zoom(Math.exp(Math.max(-300, Math.min(300, event.deltaY * scale)) * 0.0016), Math.max(event.offsetX, LABEL));
}

function listenToPointer() {
  let grip = null;
  const jump = x => { // on the overview
    view.from = (x - LABEL) / (right() - LABEL) * whole.span + whole.from - view.span / 2;
    clampView();
  };
  canvas.addEventListener('pointerdown', event => {
    canvas.setPointerCapture(event.pointerId);
    const overview = event.offsetY > AXIS && event.offsetY < AXIS + OVERVIEW;
    grip = {x: event.offsetX, y: event.offsetY, moved: false, overview};
    if (overview) jump(event.offsetX);
    else canvas.classList.add('moving');
  });
  canvas.addEventListener('pointermove', event => {
    if (grip === null) return hover(event.offsetX, event.offsetY);
    if (grip.overview) return jump(event.offsetX);
    if (Math.abs(event.offsetX - grip.x) + Math.abs(event.offsetY - grip.y) > 3) grip.moved = true;
    if (!grip.moved) return;
    tip.hidden = true;
    view.top -= event.offsetY - grip.y;
    pan(grip.x - event.offsetX);
    grip.x = event.offsetX;
    grip.y = event.offsetY;
  });
  canvas.addEventListener('pointerup', event => {
    canvas.classList.remove('moving');
    if (grip !== null && !grip.moved && !grip.overview) picked.selected = at(event.offsetX, event.offsetY).op;
    grip = null;
    redraw();
  });
  canvas.addEventListener('pointerleave', () => {
    picked.hover = -1;
    tip.hidden = true;
    redraw();
  });
  canvas.addEventListener('wheel', onWheel, {passive: false});
}

function start() {
  fillSummary();
  readColors();
  listenToPointer();
  addEventListener('keydown', onKey);
  addEventListener('resize', resize);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColors();
    redraw();
  });
  search.addEventListener('input', () => find(search.value));
  const clicks = {back: () => step(-1), next: () => step(1), fit, chain: toggleChain, counters: toggleCounters, fold: toggleSummary, theme: toggleTheme};
  for (const [id, action] of Object.entries(clicks)) document.getElementById(id).addEventListener('click', action);
  fit();
  resize();
  drawAll();
  // For tests: what the page shows, and how long it took.
  window.thrum = {view, whole, picked, frames, data, column, counters, lines, xOf, yOf, middleOf, end, loadMs: performance.now() - loadBegan};
}
start();
