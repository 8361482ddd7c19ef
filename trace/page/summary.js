'use strict';
// The block on top: what bounds the program, how busy its lanes are and why not, which ops and waits take the time.
const TOP = 10;
const percent = (part, whole) => (whole > 0 ? (100 * part / whole).toFixed(1) : '0.0') + ' %';
const opColor = name => `hsl(${data.hues[name]} 58% 62%)`;

function cell(text, className) {
  const node = make('td', className ? {class: className} : {});
  node.append(text);
  return node;
}

function rowsOf(head, rows) {
  const table = make('table');
  if (head.length > 0) {
    const tr = make('tr');
    for (const text of head) tr.append(make('th', {}, text));
    table.append(tr);
  }
  table.append(...rows);
  return table;
}

function boundsBlock() {
  const rows = [
    ['wall time', timeText(data.wall), ''],
    ['critical path', timeText(data.critical), percent(data.critical, data.wall),
     'the wall time with infinitely many workers'],
    ['all ops', timeText(data.sum), percent(data.sum, data.wall), 'the time with one worker'],
    ['ops at a time', (data.wall > 0 ? data.sum / data.wall : 0).toFixed(2), 'most ' + data.mostParallel.toFixed(2)],
    ['host waited', timeText(data.waited), percent(data.waited, data.wall)],
    ['ops in the path', String(column.path.length), 'of ' + data.ops],
  ].map(([name, value, more, title]) => {
    const tr = make('tr', title ? {title} : {});
    tr.append(cell(name), cell(value), cell(more));
    return tr;
  });
  return make('section', {id: 'bounds'}, make('h2', {}, 'What bounds it'), rowsOf([], rows));
}

function parallelBlock() {
  const width = 240, height = 34, n = data.parallel.length, most = Math.max(data.mostParallel, 1e-9);
  let path = `M0 ${height}`;
  data.parallel.forEach((value, i) => {
    const y = (height * (1 - value / most)).toFixed(1);
    path += `L${(i * width / n).toFixed(1)} ${y}L${((i + 1) * width / n).toFixed(1)} ${y}`;
  });
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.style.cssText = 'width:100%;height:34px;background:var(--grid);display:block';
  const area = document.createElementNS(space, 'path');
  area.setAttribute('d', path + `L${width} ${height}Z`);
  area.style.fill = 'var(--busy)';
  svg.append(area);
  return make('section', {}, make('h2', {}, `Ops at a time (full height ${data.mostParallel.toFixed(2)})`), svg);
}

const causes = [['busy', 'busy'], ...data.causes.map((text, i) => [text, ['queued', 'memory', 'copy', 'blocked', 'none'][i]])];

function lanesBlock() {
  const rows = [];
  for (const lane of data.lanes) {
    if (lane.kind === 'host' && lane.ops === 0) continue;
    const parts = lane.kind === 'host' ? [lane.busy] : [lane.busy, ...lane.idle];
    const bar = make('div', {class: 'bar'});
    parts.forEach((ns, i) => {
      const text = `${causes[i][0]}: ${timeText(ns)}, ${percent(ns, data.wall)}`;
      bar.append(make('i', {title: text, style: `width:${data.wall > 0 ? 100 * ns / data.wall : 0}%;background:var(--${causes[i][1]})`}));
    });
    const tr = make('tr');
    const wide = cell(bar);
    wide.style.width = '60%';
    tr.append(cell(lane.label), wide, cell(percent(lane.busy, data.wall)), cell(String(lane.ops)));
    rows.push(tr);
  }
  const key = make('div', {class: 'key'});
  const seen = causes.filter((cause, i) => i === 0 || data.lanes.some(lane => lane.idle[i - 1] > 0));
  for (const [text, color] of seen)
    key.append(make('span', {}, make('i', {class: 'chip', style: `background:var(--${color})`}), text));
  return make('section', {id: 'lanes'}, make('h2', {}, 'Lanes'), rowsOf(['lane', '', 'busy', 'ops'], rows), key);
}

function opsBlock() {
  const all = data.table.reduce((sum, line) => sum + line.total, 0);
  const rows = data.table.slice(0, TOP).map(line => {
    const tr = make('tr', {class: 'pick', title: 'find ' + data.names[line.name]});
    const name = make('td', {}, make('i', {class: 'chip', style: `background:${opColor(line.name)}`}), data.names[line.name]);
    tr.append(name, cell(String(line.count)), cell(timeText(line.total)), cell(percent(line.total, all)),
      cell(timeText(line.p50)), cell(timeText(line.p99)), cell(timeText(line.queued / line.count)),
      cell(rateText(line.gflops)), cell(rateText(line.gbs)));
    tr.addEventListener('click', () => find(data.names[line.name]));
    return tr;
  });
  const more = data.table.length > TOP ? `Top ${TOP} of ${data.table.length} ops` : 'Top ops';
  return make('section', {id: 'top'}, make('h2', {}, more),
    rowsOf(['op', 'count', 'total', 'share', 'p50', 'p99', 'queued', 'GFLOP/s', 'GB/s'], rows));
}

function waitsBlock() {
  if (data.waits.length === 0) return '';
  const rows = data.waits.slice(0, TOP).map(line => {
    const tr = make('tr');
    tr.append(cell(data.names[line.name], 'wait'), cell(String(line.count)), cell(timeText(line.total)),
      cell(timeText(line.p50)), cell(timeText(line.p99)), cell(timeText(line.max)));
    return tr;
  });
  return make('section', {id: 'hostwaits'}, make('h2', {}, 'The host waited in'),
    rowsOf(['call', 'count', 'total', 'p50', 'p99', 'max'], rows));
}

// Who held the memory of a device when it held most.
function memoryBlocks() {
  const TOP_TAGS = 5, blocks = [];
  for (const device of new Set(data.memory.map(line => line.device))) {
    const all = data.memory.filter(line => line.device === device), {peak, peakAt} = all[0];
    const rows = all.slice(0, TOP_TAGS).map(line => {
      const tr = make('tr');
      tr.append(cell(data.names[line.tag]), cell(bytesText(line.atPeak)), cell(percent(line.atPeak, peak)),
        cell(bytesText(line.taken)), cell(String(line.count)));
      return tr;
    });
    const head = `Memory of ${data.names[device]}: at most ${bytesText(peak)}, at ${timeText(peakAt)}`;
    blocks.push(make('section', {class: 'memory'}, make('h2', {}, head),
      rowsOf(['taken by', 'then', '', 'in all', 'blocks'], rows)));
  }
  return blocks;
}

function fillSummary() {
  document.getElementById('title').textContent = data.title;
  let count = `${data.ops.toLocaleString('en')} ops, ${data.edges.toLocaleString('en')} edges`;
  if (data.failed > 0) count += `, ${data.failed} failed`;
  if (data.skipped > 0) count += `, ${data.skipped} skipped`;
  if (data.dropped > 0) count += `, ${data.dropped} dropped`;
  document.getElementById('count').textContent = count;
  document.getElementById('summary').append(
    make('div', {}, boundsBlock(), parallelBlock()), make('div', {}, lanesBlock(), waitsBlock(), ...memoryBlocks()),
    make('div', {}, opsBlock()));
}
