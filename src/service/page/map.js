// The map view: every image as a point on a canvas that can be moved and zoomed, with pictures, a tooltip and a legend.

import { search, thumbnailUrl } from './api.js';
import { Camera } from './camera.js';
import { isClass, thumbnail } from './cards.js';
import { $, breakable, button, count, element, onKeys, say } from './dom.js';
import { followPointers } from './gestures.js';
import { channels, color, colorOf, drawLegend } from './legend.js';
import { Mosaic } from './mosaic.js';
import { Points, loadAtlas } from './points.js';
import { isSelected, remember, select, selectedEntries } from './selection.js';
import { settings } from './settings.js';
import { recall, uploads } from './uploads.js';
import { openViewer } from './viewer.js';

const REACH = { mouse: 12, pen: 12, touch: 24 }; // pixels around the pointer in which a point is found
const MOST = 1000;     // images that a lasso selects
const NEIGHBORS = 5;   // of the query, to which lines are drawn

const canvas = $('map');
const pen = canvas.getContext('2d');
const camera = new Camera(canvas);
let atlas = null;      // what the server has given
let shown = '';        // the layout and the coloring that are shown
let points = null;
let mosaic = null;
let current = -1;      // the point with the tooltip
let entry = null;      // what is known of it
let emphasized = -1;   // the group that is pointed at in the legend
let lasso = null;      // what is drawn around images, as places on the map
let query = null;      // { picture, rows, own }: the query, where it is and what is nearest to it
let frame = 0;
let delayed = 0;
let colors = null;     // of the groups and of what stands out, in the scheme that is in use
let marked = [];       // points with a finding
let image = null;      // the pixels of the dots
let most = 32;         // images in a query

export function setUpMap(visit) {
  setUpPointers();
  onKeys(canvas, {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
    '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1 / 1.5), 0: reset, Enter: open, ' ': toggleSelected,
    Escape: () => pointAt(-1),
  }, () => points);
  $('lasso').addEventListener('click', () => {
    const on = $('lasso').getAttribute('aria-pressed') !== 'true';
    $('lasso').setAttribute('aria-pressed', String(on));
    canvas.classList.toggle('drawing', on);
  });
  $('zoom-in').addEventListener('click', () => zoom(1.5));
  $('zoom-out').addEventListener('click', () => zoom(1 / 1.5));
  $('zoom-reset').addEventListener('click', reset);
  const choose = () => visit({ ...query?.state, view: 'map', map: $('map-kind').value, color: $('color').value }, { replace: true });
  for (const control of [$('map-kind'), $('color')]) control.addEventListener('change', choose);
  $('pictures').addEventListener('change', redraw);
  $('to-results').addEventListener('click', () => visit({ ...settings(), view: 'search', ...query.state }));
  document.addEventListener('selected', redraw);
  document.addEventListener('search-shared', ({ detail }) => visit({ ...settings(), view: 'search', key: detail }));
  new ResizeObserver(redraw).observe(canvas);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (points) drawKey();
    redraw();
  });
}

function setUpPointers() {
  followPointers(canvas, {
    start: (event, { x, y }, number) => {
      const draws = points && number === 1 && (event.shiftKey || $('lasso').getAttribute('aria-pressed') === 'true');
      lasso = draws ? [camera.toMap(x, y)] : null;
    },
    move: (before, after) => {
      pointAt(-1);
      if (lasso) lasso.push(camera.toMap(after.x, after.y));
      else if (points) {
        camera.moveBy((before.x - after.x) / camera.scale, (after.y - before.y) / camera.scale);
        if (before.spread && after.spread) zoom(after.spread / before.spread, after.x, after.y);
      }
      redraw();
    },
    end: (event, { moved }) => {
      const drawn = lasso;
      lasso = null;
      if (moved) return void (drawn && selectWithin(drawn));
      const before = current;
      pointAt(under(event));
      if (drawn) toggleSelected();
      else if (current === before || event.pointerType !== 'touch') open(); // a finger looks first, then chooses
    },
    hover: (event) => pointAt(under(event)),
    cancel: () => (lasso = null),
  });
  canvas.addEventListener('pointerleave', (event) => event.pointerType !== 'touch' && pointAt(-1));
  canvas.addEventListener('blur', () => pointAt(-1));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.offsetX, event.offsetY);
  }, { passive: false });
}

export async function showMap(state, { limits }, { signal, commit }) {
  most = limits.images;
  if (!atlas) say('Loading …');
  atlas ??= await loadAtlas({ signal });
  const { numbers, neutral } = atlas.finding;
  marked = [...numbers.keys()].filter((i) => numbers[i] !== neutral);
  const found = await findQuery(state, { signal });
  commit();
  $('map-control').hidden = !atlas.look;
  $('map-kind').value = state.map === 'look' && atlas.look ? 'look' : '';
  $('color').value = ['split', 'finding'].includes(state.color) ? state.color : '';
  arrange($('map-kind').value, $('color').value);
  query = found;
  $('to-results').hidden = !query;
  pointAt(-1);
  redraw();
  say(`${count(atlas.total, 'image')}, ${count(atlas.class.names.filter(isClass).length, 'class', 'classes')}`);
}

/** Where the query of a state is: at its own point, or between those of the images that are nearest to it. */
async function findQuery({ key, upload }, { signal }) {
  const known = await recall(upload);
  if (key.length + known.length !== 1) return null;
  const files = known.map((number) => uploads.get(number).file);
  const of = { key, files, like: [], unlike: [], region: '' };
  const { answer, query: found } = await search(of, { k: NEIGHBORS, any: true }, { signal });
  const picture = new Image();
  picture.src = files.length ? uploads.get(known[0]).source : thumbnailUrl(found, 128);
  picture.onload = redraw;
  return { picture, own: found.row ?? -1, rows: answer.neighbors.map(({ row }) => row), state: { key, upload } };
}

/** Have the points where a layout places them, in the colors of a coloring. */
function arrange(layout, coloring) {
  if (shown === `${layout} ${coloring}` && points) return;
  const isMoved = !points || !shown.startsWith(`${layout} `);
  shown = `${layout} ${coloring}`;
  if (isMoved) {
    points = new Points(layout ? atlas.look : atlas.all);
    mosaic = new Mosaic(points, atlas.entries, redraw);
  }
  points.group(atlas[coloring || 'class']);
  mosaic.regroup();
  drawKey();
  if (isMoved) reset();
}

function drawKey() {
  readColors();
  const changed = () => {
    mosaic.regroup();
    redraw();
  };
  drawLegend(points, changed, (group) => {
    emphasized = group;
    redraw();
  });
}

// Moving

/** The point whose picture or mark is under a pointer, or -1. */
function under({ offsetX, offsetY, pointerType }) {
  if (!points) return -1;
  const pictured = showsPictures() ? mosaic.at(offsetX, offsetY) : -1;
  return pictured >= 0 ? pictured : points.nearest(...camera.toMap(offsetX, offsetY), (REACH[pointerType] ?? REACH.mouse) / camera.scale);
}

const showsPictures = () => $('pictures').checked;

function zoom(factor, x, y) {
  camera.zoomBy(factor, x, y);
  redraw();
}

function reset() {
  if (!points) return;
  camera.showAll(points);
  redraw();
}

/** By keyboard, to the next point in a direction, which comes into sight and is said; at first, to the middle. */
async function step(right, up) {
  const next = current < 0 ? points.nearest(camera.x, camera.y) : points.towards(current, right, up);
  if (next < 0) return;
  const [x, y] = [points.x[next], points.y[next]];
  if (!camera.sees(x, y)) camera.moveBy(x - camera.x, y - camera.y);
  await pointAt(next);
  if (entry) say(`${entry.key}, ${points.names[points.numbers[next]]}`);
}

function open() {
  if (current < 0) return;
  const place = current;
  openViewer({ total: 1, entry: async () => (await atlas.entries([place]))[0], focus: () => canvas.focus() }, 0);
}

// Selecting

async function selectWithin(polygon) {
  const rows = points.within(polygon);
  say(`${count(rows.length, 'image')} inside the outline`);
  drawShared(rows);
  redraw();
  if (rows.length > MOST) return;
  const entries = await atlas.entries(rows);
  entries.forEach(remember);
  select(entries.map(({ key }) => key));
}

/** What images have in common, in words. */
function drawShared(rows) {
  const lines = [atlas.class, atlas.split, atlas.finding].map(({ names, numbers, neutral = -1 }) => {
    const sizes = new Array(names.length).fill(0);
    for (const i of rows) sizes[numbers[i]] += 1;
    const ranked = names.map((name, i) => [name, sizes[i], i]).filter(([, size, i]) => size && i !== neutral).sort((a, b) => b[1] - a[1]);
    return ranked.slice(0, 3).map(([name, size]) => `${name} ${Math.round((100 * size) / rows.length)} %`).join(', ');
  });
  const searchAll = async () => {
    const spread = Array.from({ length: Math.min(most, rows.length) }, (_, i) => rows[Math.floor((i * rows.length) / Math.min(most, rows.length))]);
    const keys = (await atlas.entries(spread)).map(({ key }) => key);
    document.dispatchEvent(new CustomEvent('search-shared', { detail: keys }));
  };
  $('shared').replaceChildren(...(rows.length ? [element('b', {}, `${count(rows.length, 'image')} share`),
    ...lines.filter(Boolean).map((line) => element('p', {}, line)), button('Search for what they share', searchAll)] : []));
}

async function toggleSelected() {
  if (current < 0) return;
  const [chosen] = await atlas.entries([current]);
  remember(chosen);
  select([chosen.key], !isSelected(chosen.key));
  say(`${chosen.key} ${isSelected(chosen.key) ? 'selected' : 'deselected'}`);
}

// Drawing

function redraw() {
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (!points || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const radius = drawDots(ratio, width, height);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  marked.forEach((i) => points.shows(i) && circle(i, radius + 3, colors.surprise, 1.5));
  const selected = new Set(selectedEntries().map(({ row }) => row));
  if (showsPictures()) drawPictures(selected);
  for (const i of selected) if (i !== undefined && points.shows(i)) circle(i, 7, colors.text, 2);
  if (query) drawQuery();
  if (current >= 0) circle(current, 10, colors.text, 3);
  if (lasso) drawLasso();
  placeTooltip();
}

/** Draw a dot for each point in sight, straight into the pixels, which is fast enough for very many. */
function drawDots(ratio, width, height) {
  const { x, y, members, hidden } = points;
  const { words } = colors;
  const size = Math.min(1, canvas.clientWidth / 700) * Math.max(1, 7 - Math.log10(points.total + 1) * 1.15);
  const radius = ratio * Math.min(9, Math.max(1, size) * camera.zoom ** 0.3);
  const halves = Array.from({ length: 2 * Math.round(radius) }, (_, row) =>
    Math.max(1, Math.round(Math.sqrt(radius ** 2 - (row + 0.5 - Math.round(radius)) ** 2)) || 1));
  const scale = camera.scale * ratio;
  const [left, top] = [width / 2 - camera.x * scale, height / 2 + camera.y * scale - halves.length / 2];
  if (image?.width !== width || image.height !== height) image = pen.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer).fill(0);
  const rank = (group) => (group === emphasized ? 1 : points.marks[group] < 0 ? -1 : 0); // what stands out lies on top
  for (const group of [...members.keys()].sort((a, b) => rank(a) - rank(b))) {
    if (hidden.has(group)) continue;
    const word = emphasized < 0 || emphasized === group ? words[group] : (words[group] & 0xffffff) | 0x28000000;
    for (const i of members[group]) {
      const atX = Math.round(left + x[i] * scale);
      const atY = Math.round(top - y[i] * scale);
      if (atX < radius || atY < 0 || atX + radius > width || atY + halves.length > height) continue;
      for (let row = 0, middle = atY * width + atX; row < halves.length; row += 1, middle += width) {
        for (let pixel = middle - halves[row]; pixel < middle + halves[row]; pixel += 1) pixels[pixel] = word;
      }
    }
  }
  pen.putImageData(image, 0, 0);
  return radius / ratio;
}

/** The colors of the groups, as text and as pixels, and others. */
function readColors() {
  const names = points.marks.map(colorOf);
  const words = names.map((name) => {
    const [red, green, blue] = channels(name);
    return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  });
  colors = { words, groups: names.map(color), text: color('--text'), accent: color('--accent'), surprise: color('--another') };
}

function drawPictures(selected) {
  const { scale, zoom: zoomed, width, height } = camera;
  const [left, top] = camera.toScreen(0, 0); // once, and not for each of many points
  mosaic.draw(pen, {
    place: (i) => [left + points.x[i] * scale, top - points.y[i] * scale],
    frame: (i) => (selected.has(i) ? [colors.text, 4] : [atlas.finding.numbers[i] !== atlas.finding.neutral ? colors.surprise : colors.groups[points.numbers[i]], 2]),
    scale, zoom: zoomed, width, height,
  });
}

function circle(i, radius, style, width) {
  pen.beginPath();
  pen.arc(...camera.toScreen(points.x[i], points.y[i]), radius, 0, 2 * Math.PI);
  pen.strokeStyle = style;
  pen.lineWidth = width;
  pen.stroke();
}

/** The query's picture where it belongs, with lines to the images that are nearest to it. */
function drawQuery() {
  const { picture, own, rows } = query;
  const near = rows.slice(0, 3);
  const mean = (values) => near.reduce((sum, i) => sum + values[i], 0) / near.length;
  const [x, y] = camera.toScreen(...(own >= 0 ? [points.x[own], points.y[own]] : [mean(points.x), mean(points.y)]));
  pen.strokeStyle = pen.fillStyle = colors.accent;
  pen.lineWidth = 1.5;
  for (const i of rows) {
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(...camera.toScreen(points.x[i], points.y[i]));
    pen.stroke();
  }
  const share = 72 / Math.max(picture.naturalWidth, picture.naturalHeight, 1);
  const [width, height] = picture.naturalWidth ? [picture.naturalWidth * share, picture.naturalHeight * share] : [14, 14];
  pen.fillRect(x - width / 2 - 4, y - height / 2 - 4, width + 8, height + 8);
  if (picture.naturalWidth) pen.drawImage(picture, x - width / 2, y - height / 2, width, height);
}

function drawLasso() {
  pen.beginPath();
  for (const place of lasso) pen.lineTo(...camera.toScreen(...place));
  pen.closePath();
  pen.strokeStyle = pen.fillStyle = colors.accent;
  pen.lineWidth = 2;
  pen.stroke();
  pen.globalAlpha = 0.12;
  pen.fill();
  pen.globalAlpha = 1;
}

// Tooltip

async function pointAt(i) {
  if (i === current) return;
  current = i;
  entry = null;
  canvas.classList.toggle('pointing', i >= 0);
  clearTimeout(delayed);
  redraw();
  if (i < 0) return;
  await new Promise((resolve) => (delayed = setTimeout(resolve, 60))); // not for all that are passed
  const [found] = await atlas.entries([i]);
  if (i !== current) return;
  entry = found;
  $('point').replaceChildren(thumbnail(entry), element('b', {}, points.names[points.numbers[i]]), element('span', {}, ...breakable(entry.key)));
  placeTooltip();
}

function placeTooltip() {
  const tooltip = $('point');
  tooltip.hidden = !entry;
  if (!entry) return;
  const [x, y] = camera.toScreen(points.x[current], points.y[current]);
  const [width, height] = [tooltip.offsetWidth, tooltip.offsetHeight];
  const left = x + 16 + width > canvas.clientWidth ? x - 16 - width : x + 16;
  const top = Math.min(canvas.clientHeight - height - 4, y - height / 2);
  tooltip.style.translate = `${Math.max(4, left)}px ${Math.max(4, top)}px`;
}
